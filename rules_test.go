// Package scraper_test holds the rules of the project's code which must not depend on anybody's attention: who imports
// whom, where the process is touched, and that nothing is global. Do not change a rule to make it pass; the reasons
// stand beside them.
package scraper_test

import (
	"slices"
	"strings"
	"testing"
)

// onlyImports names all that a package may import beside the standard library. These packages are meant to be used, and
// understood, alone.
var onlyImports = map[string][]string{
	"bufpool":       {"scraper/internal/..."},
	"labelcompress": {"scraper/internal/...", "scraper/bufpool", "github.com/cespare/xxhash/v2", "github.com/klauspost/compress/..."},
	"streamparse":   {"scraper/internal/...", "scraper/bufpool", "github.com/cespare/xxhash/v2", "github.com/klauspost/compress/..."},
	"diskqueue":     {"scraper/internal/..."},
	"zstdframe":     {"scraper/internal/...", "github.com/klauspost/compress/..."},
	"internal/...":  {"scraper/internal/..."},
}

// mustNotReach names packages which the first must not import, directly or through others.
var mustNotReach = []struct{ from, to, why string }{
	{"scrape", "remotewrite", "scrape declares the Sink that it needs, and cmd/scraper connects the two"},
	{"remotewrite", "scrape", "remotewrite takes batches, whoever made them, and cmd/scraper connects the two"},
	{"config", "scrape", "parsing has no side effects, so config lies below whatever acts on it"},
	{"config", "remotewrite", "parsing has no side effects, so config lies below whatever acts on it"},
	{"config", "discovery", "parsing has no side effects, so config lies below whatever acts on it"},
	{"relabel", "config", "relabel evaluates rules, whoever read them"},
	{"batch", "scrape", "batch lies below both who fills and who reads it"},
	{"batch", "remotewrite", "batch lies below both who fills and who reads it"},
	{"transport", "scrape", "the transport knows requests and answers, whoever makes them"},
	{"scrape", "web", "web reads the parts' snapshots, and they do not know it"},
	{"remotewrite", "web", "web reads the parts' snapshots, and they do not know it"},
	{"discovery", "web", "web reads the parts' snapshots, and they do not know it"},
	{"receiver", "remotewrite", "the receiver judges what remotewrite sends, so it must not share its code"},
	{"...", "github.com/prometheus/prometheus", "its modules are for comparison, in a module of their own"},
}

// testOnly names packages which nothing but tests, and each other, may import.
var testOnly = []string{"testing", "bufpool/bufpooltest", "internal/leaktest", "internal/alloctest", "internal/memnet", "streamparse/bodytest"}

// A place is where a forbidden thing is allowed all the same.
type place struct {
	pkg string // path in the module
	why string
}

var command = place{"cmd/scraper", "the process is the command's"}

// forbiddenImports names packages which the project's code, tests aside, does not import.
var forbiddenImports = []struct {
	path, why string
	but       []place
}{
	{"flag", "settings come in Options", []place{command}},
	{"os/signal", "a context says when to stop", []place{command}},
	{"log", "log with the *slog.Logger in Options", nil},
	{"io/ioutil", "it is deprecated", nil},
	{"math/rand", "use math/rand/v2", nil},
}

// forbiddenNames names functions and variables which the project's code, tests aside, does not use; "*"
// stands for any end.
var forbiddenNames = []struct {
	path  string
	names []string
	why   string
	but   []place
}{
	{"os", []string{"Exit"}, "return an error", []place{
		command,
		{"internal/leaktest", "it ends test binaries, which have no other way to fail after their tests"},
	}},
	{"os", []string{"Args", "Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv"}, "settings come in Options", []place{command}},
	{"log/slog", []string{"Default", "Debug", "DebugContext", "Info", "InfoContext", "Warn", "WarnContext", "Error", "ErrorContext", "Log", "LogAttrs", "With", "SetLogLoggerLevel"}, "log with the *slog.Logger in Options", nil},
	{"log/slog", []string{"SetDefault"}, "log with the *slog.Logger in Options", []place{
		{"cmd/scraper", "what the standard library writes to its own logger belongs in the process' log"},
	}},
	{"net/http", []string{"DefaultClient", "DefaultTransport", "DefaultServeMux", "Get", "Head", "Post", "PostForm", "Handle", "HandleFunc", "ListenAndServe", "ListenAndServeTLS"}, "it is shared with the whole process; make your own", nil},
	{"net", []string{"DefaultResolver"}, "it is shared with the whole process; make your own", []place{
		{"internal/leaktest", "it keeps tests from asking the network for names"},
	}},
	{"github.com/prometheus/client_golang/prometheus", []string{"DefaultRegisterer", "DefaultGatherer", "Register", "MustRegister", "Unregister"}, "metrics belong to an instance: NewMetrics(reg)", nil},
	{"github.com/prometheus/client_golang/prometheus/promauto", []string{"New*"}, "metrics belong to an instance: promauto.With(reg)", nil},
	{"github.com/prometheus/client_golang/prometheus/promhttp", []string{"Handler"}, "it serves the registry of the whole process", nil},
	{"fmt", []string{"Print", "Printf", "Println"}, "standard output is the command's", []place{command}},
	{"runtime", []string{"SetFinalizer"}, "use AddCleanup", nil},
}

// forbiddenGlobals names what no package-level variable is made of: by package and name.
var forbiddenGlobals = []struct{ path, name, why string }{
	{"github.com/prometheus/client_golang/prometheus", "New*", "metrics belong to an instance: NewMetrics(reg)"},
	{"sync", "Pool", "pools belong to an instance, and can be asked what they hold"},
	{"scraper/bufpool", "*", "pools belong to an instance"},
	{"log/slog", "New*", "log with the *slog.Logger in Options"},
}

// forbiddenPackages names packages which say nothing about what is in them.
var forbiddenPackages = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base", "shared"}

func TestRules(t *testing.T) {
	tree, err := loadTree(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) < 10 {
		t.Fatalf("found %d packages, want the project's", len(tree))
	}
	for _, p := range check(tree) {
		t.Error(p)
	}
	for _, p := range stale(tree) {
		t.Error(p)
	}
}

// stale finds rules and exceptions about packages which no longer exist, so that a rename does not switch them off.
func stale(tree []*pkg) (problems []string) {
	exists := func(path string) bool {
		return strings.Contains(path, "...") || strings.Contains(path, ".") ||
			slices.ContainsFunc(tree, func(p *pkg) bool { return p.path == path })
	}
	want := func(path string) {
		if !exists(path) {
			problems = append(problems, "rules_test.go: there is no package "+path+": rename or remove its rule")
		}
	}
	for path := range onlyImports {
		want(path)
	}
	for _, r := range mustNotReach {
		want(r.from)
		want(r.to)
	}
	for _, path := range testOnly[1:] {
		want(path)
	}
	for _, r := range forbiddenNames {
		for _, b := range r.but {
			want(b.pkg)
		}
	}
	return problems
}
