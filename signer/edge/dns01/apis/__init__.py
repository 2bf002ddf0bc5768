"""DNS products that are told of a record by their own APIs: what each wants to hear, and one way to call all of them."""
