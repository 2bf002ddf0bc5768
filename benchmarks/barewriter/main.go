// Command barewriter is the limit that the signer's speed is compared with: a Go client that writes one fixed
// certificate into the status of every approved request of one signer, and does nothing else. It checks nothing,
// signs nothing and records nothing; its client speaks protobuf and has no rate limiter.
//
// When --count requests are answered it prints one line of JSON on stdout and ends. With --count=0 it goes on until
// SIGTERM or SIGINT, and prints the line then.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	certificates "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	client "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// result is what is printed. Seconds count from the start of the process for Started (the first list is read), and
// from there for Seconds (the last write is answered).
type result struct {
	Issued     int64   `json:"issued"`
	Conflicts  int64   `json:"conflicts"`
	Gone       int64   `json:"gone"`
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Started    float64 `json:"started_seconds"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"per_second"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

type writer struct {
	requests    client.CertificateSigningRequestInterface
	certificate []byte
	count       int64
	done        context.CancelFunc

	issued, conflicts, gone, errors atomic.Int64
	firstError                      sync.Once
	errorText                       string
}

func main() {
	started := time.Now()
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server (required)")
	signer := flag.String("signer", "", "full signer name, as in clusterissuers.cert-manager.io/foo (required)")
	count := flag.Int64("count", 0, "end after so many certificates; 0 goes on until SIGTERM")
	writers := flag.Int("writers", 64, "status writes in flight")
	file := flag.String("certificate-file", "", "PEM that goes into every status (required)")
	flag.Parse()
	if *kubeconfig == "" || *signer == "" || *file == "" || *writers < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(started, *kubeconfig, *signer, *file, *count, *writers); err != nil {
		fmt.Fprintln(os.Stderr, "barewriter:", err)
		os.Exit(1)
	}
}

func run(started time.Time, kubeconfig, signer, file string, count int64, writers int) error {
	certificate, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType
	config.QPS = -1 // no rate limiter
	certificatesClient, err := client.NewForConfig(config)
	if err != nil {
		return err
	}

	ctx, done := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer done()
	w := &writer{requests: certificatesClient.CertificateSigningRequests(), certificate: certificate, count: count, done: done}
	queue := make(chan *certificates.CertificateSigningRequest, 1<<16)
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for request := range queue {
				w.write(ctx, request)
			}
		})
	}
	ready, err := w.feed(ctx, signer, queue)
	ended := time.Now()
	if err != nil && ctx.Err() == nil {
		return err
	}
	close(queue)
	running.Wait()

	seconds := ended.Sub(ready).Seconds()
	return json.NewEncoder(os.Stdout).Encode(result{
		Issued: w.issued.Load(), Conflicts: w.conflicts.Load(), Gone: w.gone.Load(), Errors: w.errors.Load(),
		FirstError: w.errorText, Started: ready.Sub(started).Seconds(), Seconds: seconds,
		PerSecond: float64(w.issued.Load()) / seconds, CPUSeconds: cpuSeconds(),
	})
}

// feed lists, then watches, and queues every request once until ctx ends; it returns when the list was read.
func (w *writer) feed(ctx context.Context, signer string, queue chan<- *certificates.CertificateSigningRequest) (time.Time, error) {
	options := metav1.ListOptions{FieldSelector: "spec.signerName=" + signer}
	listed, err := w.requests.List(ctx, options)
	ready := time.Now()
	if err != nil {
		return ready, err
	}
	for i := range listed.Items {
		if open(&listed.Items[i]) {
			queue <- &listed.Items[i]
		}
	}
	options.ResourceVersion = listed.ResourceVersion
	for ctx.Err() == nil {
		events, err := w.requests.Watch(ctx, options)
		if err != nil {
			return ready, err
		}
		for event := range events.ResultChan() {
			request, ok := event.Object.(*certificates.CertificateSigningRequest)
			if !ok {
				return ready, fmt.Errorf("watch: %v", apierrors.FromObject(event.Object))
			}
			options.ResourceVersion = request.ResourceVersion
			if event.Type != watch.Deleted && open(request) {
				queue <- request
			}
		}
	}
	return ready, nil
}

// open says whether a request is approved and unanswered.
func open(request *certificates.CertificateSigningRequest) bool {
	if len(request.Status.Certificate) > 0 {
		return false
	}
	approved := false
	for _, condition := range request.Status.Conditions {
		approved = approved || condition.Type == certificates.CertificateApproved
		if condition.Type == certificates.CertificateFailed || condition.Type == certificates.CertificateDenied {
			return false
		}
	}
	return approved
}

func (w *writer) write(ctx context.Context, request *certificates.CertificateSigningRequest) {
	request.Status.Certificate = w.certificate
	_, err := w.requests.UpdateStatus(ctx, request, metav1.UpdateOptions{})
	switch {
	case err == nil:
		if w.issued.Add(1) == w.count {
			w.done()
		}
	case ctx.Err() != nil:
	case apierrors.IsConflict(err):
		w.conflicts.Add(1)
	case apierrors.IsNotFound(err):
		w.gone.Add(1)
	default:
		w.errors.Add(1)
		w.firstError.Do(func() { w.errorText = err.Error() })
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
