// Package conformance compares Scraper with Prometheus' own code: relabeling with model/relabel, and the text format's
// parser with model/textparse.
//
// It is a module of its own, so that Prometheus' code, and what it needs, stays out of the agent's module: who builds or
// vendors the agent does not get it, and its versions do not decide the agent's. The price is that `go test ./...` at the
// root does not run it; `cd conformance && go test ./...` does. It imports only those packages of Prometheus that it
// compares with, since they compile in seconds.
//
// There is no code here but tests. Read relabel_test.go for relabeling; for the text format read oracle_test.go (what
// Prometheus makes of a body), splits_test.go (ways to cut a body), bodies_test.go (what bodies there are), and
// parse_test.go, where they come together. Where both parties differ on purpose, the test says so, and why.
package conformance
