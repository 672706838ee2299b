package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"scraper/internal/leaktest"
)

// long asks for the sizes and times which the project promises, instead of those which a change can wait for.
var long = flag.Bool("long", false, "run the long forms of the tests, which take some twenty minutes")

// seedFlag repeats a run of the tests which draw lots.
var seedFlag = flag.Uint64("seed", 0, "seed of scripted targets; 0: another one each time")

// programs is where TestMain puts what it builds.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	if inNamespace() {
		os.Exit(m.Run()) // a child of TestForeignPeers
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	// Most tests wait for time to pass; they would wait one after the other if there were as few as there are processors.
	if !isSet("test.parallel") {
		if err := flag.Set("test.parallel", "6"); err != nil {
			return 1, err
		}
	}
	if programs, err = os.MkdirTemp("", "scraper-e2e-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	// It is built as users build it: the race detector would change what the tests measure.
	build := exec.Command("go", "build", "-o", scraperPath(), "scraper/cmd/scraper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return leaktest.Run(m), nil
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

func scraperPath() string { return filepath.Join(programs, "scraper") }
