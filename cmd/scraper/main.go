// Command scraper scrapes metrics from targets and pushes them over Prometheus remote write.
//
// Flags, the environment, signals and exit codes are handled here and nowhere else, and so is the connection of the parts.
// Read main.go first, then agent.go (what the process is made of), reload.go, and flags.go for how the command line becomes
// Settings.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"scraper/config"
	"scraper/web"
)

// version is set by the build.
var version = "dev" //nolint:gochecknoglobals // the linker writes it

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the configuration, a file, an address
	exitUsage   = 2 // the command line
)

// gcPercent is the garbage collector's target unless GOGC says otherwise. What the agent keeps holds no pointers, and a
// steady scrape allocates next to nothing, so collecting twice as often as by default costs no CPU that can be measured,
// and saves a sixth of the resident memory: docs/decisions/003-gc-percent.md.
const gcPercent = 50

// sameWish is the time within which a second signal to stop is but an echo of the first: a supervisor may send one to the
// process, and one to its group. Whoever presses Ctrl-C twice in earnest takes longer, or presses it once more.
const sameWish = time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	s, warnings, err := parseFlags(args, os.LookupEnv)
	if err != nil {
		fmt.Fprintln(stderr, "scraper:", err)
		return exitUsage
	}
	switch {
	case s.ShowHelp:
		fmt.Fprint(stdout, helpText(s.Command))
		return exitOK
	case s.ShowVersion:
		fmt.Fprint(stdout, versionText(version))
		return exitOK
	}
	if s.Command == "queue" {
		return runQueueCommand(s, stdout, stderr)
	}
	log := newLogger(s, stderr)
	slog.SetDefault(log) // for net/http, whose client writes what it thinks of a peer to the standard library's logger
	for _, w := range warnings {
		log.Warn("command line", "warning", w)
	}
	if s.MaxProcs > 0 && runtime.GOMAXPROCS(0) > s.MaxProcs {
		runtime.GOMAXPROCS(s.MaxProcs) // per-core caches are memory too
	}
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	if s.DryRun || s.ConfigDryRun {
		return dryRun(s, log, stderr)
	}
	if err := serve(s, log, stdout); err != nil {
		fmt.Fprintln(stderr, "scraper:", err)
		return exitFailure
	}
	return exitOK
}

// newLogger writes to w as the flags say. In JSON too a duration is written with its unit: slog's bare number of
// nanoseconds says nothing to whoever reads it.
func newLogger(s *Settings, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		o.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// loadConfig reads the configuration file.
func loadConfig(s *Settings) (*config.Config, error) {
	defer collectOften()()
	if s.ConfigFile == "" {
		return config.Parse(nil, config.Options{Dialect: s.Dialect})
	}
	return config.Load(s.ConfigFile, config.Options{Dialect: s.Dialect, ProtobufFirst: s.ProtobufFirst, Getenv: os.LookupEnv})
}

// dryRun checks the configuration as a start would, without opening an address. As vmagent's, it does not ask where to send
// to. -dryRun looks at the files, too, which rules and certificates of destinations are in.
func dryRun(s *Settings, log *slog.Logger, stderr io.Writer) int {
	cfg, err := loadConfig(s)
	if err == nil && s.DryRun {
		if err = checkDestinations(s, cfg); errors.Is(err, errNowhere) {
			err = nil
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "scraper:", err)
		return exitFailure
	}
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w)
	}
	log.Info("configuration is good", "file", s.ConfigFile, "jobs", len(cfg.Jobs))
	return exitOK
}

// serve runs the agent until a signal ends it.
func serve(s *Settings, log *slog.Logger, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	p := parts{
		log: log, load: func() (*config.Config, error) { return loadConfig(s) }, hostname: hostname,
		hostSeed: hostSeed(s, hostname), quit: cancel,
	}
	var side *demoSide
	if s.Command == "demo" {
		if side, err = newDemoSide(ctx); err != nil {
			return err
		}
		p.load, p.latest = side.load(s), side.latest
		p.extra = append(p.extra, side.destination())
	}
	cfg, err := p.load()
	if err != nil {
		return err // before an address is opened, since it is the likelier mistake
	}
	a, err := newAgent(s, p)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.listen(ctx); err != nil {
		return err
	}
	if err := a.start(cfg); err != nil {
		return err
	}
	if queueDir(s) != "" {
		tellOfPeers(s, log)
	}
	a.tellMemory()
	log.Info("started", "version", version, "dialect", s.Dialect.String(), "why", s.DialectWhy, "listen", a.addresses())

	done := make(chan error, 2)
	go func() { done <- a.run(ctx) }()
	sideDone := make(chan error, 1)
	sideCtx, stopSide := context.WithCancel(context.Background())
	defer stopSide()
	if side != nil {
		go func() { sideDone <- side.run(sideCtx) }()
		side.welcome(stdout, s)
	} else {
		sideDone <- nil
	}
	var asked time.Time // when the first signal to stop came
	for {
		select {
		case err := <-done:
			stopSide()
			return errors.Join(err, <-sideDone)
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				a.reload() // it says itself what went wrong
			case asked.IsZero(): // which may follow a request to /-/quit
				asked = time.Now()
				cancel()
			case time.Since(asked) > sameWish:
				return errors.New("a second signal came before everything was delivered")
			}
		}
	}
}

// hostSeed is the host's part in the targets' phases. A pod's host name changes with each restart, so the node's name
// counts where the environment has it, as Kubernetes' downward API provides it.
func hostSeed(s *Settings, hostname string) string {
	if node := os.Getenv("NODE_NAME"); node != "" {
		hostname = node
	}
	return hostname + "\xff" + s.ClusterName
}

func shownFlags(s *Settings) []web.Flag {
	flags := make([]web.Flag, 0, len(s.effective))
	for _, f := range s.effective {
		flags = append(flags, web.Flag{Name: f.name, Value: f.value})
	}
	return flags
}
