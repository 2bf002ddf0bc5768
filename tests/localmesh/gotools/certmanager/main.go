// certmanager runs cert-manager's own controllers on a cluster, for the tests of moving from it, back to it, and beside it.
//
// The program that cert-manager ships is a Go module of its own, which the module proxy cannot serve: its path is not its
// folder's. Its controllers are in the main module, so this starts those, with the names, the defaults and the Lease that it
// has. Left out: ACME, Vault and Venafi, webhook and metrics.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	requestsca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	requestsselfsigned "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	csrca "github.com/cert-manager/cert-manager/pkg/controller/certificatesigningrequests/ca"
	"github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

const workers = 5

var (
	certificateControllers = []string{
		approver.ControllerName, requestsca.CRControllerName, requestsselfsigned.CRControllerName,
		issuing.ControllerName, keymanager.ControllerName, readiness.ControllerName, requestmanager.ControllerName,
		revisionmanager.ControllerName, trigger.ControllerName, clusterissuers.ControllerName, issuers.ControllerName,
	}
	// What the gate ExperimentalCertificateSigningRequestControllers turns on, as far as Istio's task needs it.
	csrControllers = []string{csrca.CSRControllerName}
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "of the account that it acts as")
	csr := flag.Bool("csr", false, "answer CertificateSigningRequests too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	names := certificateControllers
	if *csr {
		names = slices.Concat(names, csrControllers)
	}
	if err := run(ctx, *kubeconfig, names); err != nil {
		fmt.Fprintln(os.Stderr, "certmanager:", err)
		os.Exit(1)
	}
}

// run leads, then works until ctx ends.
func run(ctx context.Context, kubeconfig string, names []string) error {
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:         kubeconfig,
		KubernetesAPIQPS:   200,
		KubernetesAPIBurst: 500,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: "cert-manager"},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
			CertificateRequestMinimumBackoffDuration: time.Hour,
		},
	})
	if err != nil {
		return err
	}
	elector, err := factory.Build("leader-election")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: "kube-system", Name: "cert-manager-controller"},
			Client:     elector.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("certmanager-%d-external-cert-manager-controller", os.Getpid())},
		},
		// The program that is shipped waits for a minute; tests need not.
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				if err := work(ctx, factory, names); err != nil {
					failed <- err
					_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
				}
			},
			OnStoppedLeading: func() {},
		},
	})
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// work starts the controllers of these names; they end with ctx.
func work(ctx context.Context, factory *controller.ContextFactory, names []string) error {
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	running := make([]controller.Interface, 0, len(names))
	for _, name := range names {
		one, err := controller.Known()[name](factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		running = append(running, one)
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	fmt.Println("certmanager: leading")
	for _, one := range running {
		go func() { _ = one.Run(workers, ctx) }()
	}
	<-ctx.Done()
	return nil
}
