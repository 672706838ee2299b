// Package conformance compares Scraper with Prometheus' own code: relabeling with model/relabel, the text format's parser
// with model/textparse, and what is sent with the types and the handler of remote write.
//
// It is a module of its own, so that Prometheus' code, and what it needs, stays out of the agent's module: who builds or
// vendors the agent does not get it, and its versions do not decide the agent's. The price is that `go test ./...` at the
// root does not run it; `cd conformance && go test ./...` does. It imports only those packages of Prometheus that it
// compares with, since they compile in seconds.
//
// There is no code here but tests. For relabeling read relabel_oracle_test.go (both parties on the same rules and labels) and
// relabel_test.go. For the text format read parse_oracle_test.go (what Prometheus makes of a body), cases_test.go (bodies
// that parsers have disagreed about), bodies_test.go (bodies of real programs), splits_test.go (ways to cut them), and
// parse_test.go, where they come together. For OpenMetrics and protobuf read events_test.go (what two parsers say, compared for
// every way to cut a body), openmetrics_test.go, protobuf_test.go, and captures_test.go (bodies of real programs; testdata tells
// how they were made). For remote write read remotewrite_test.go. Where both parties differ on purpose, the test says so: see agree.
package conformance
