package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"scraper/bufpool"
	"scraper/config"
	"scraper/discovery"
	"scraper/labelcompress"
	"scraper/memlimit"
	"scraper/remotewrite"
	"scraper/scrape"
	"scraper/snapshots"
	"scraper/web"
)

const (
	// compactEvery is how often the dictionary is looked at for memory to give back, and compactBytes how much is moved
	// at most each time: a few milliseconds of one core.
	compactEvery = 5 * time.Second
	compactBytes = 4 << 20
)

// agent is the parts of the process, connected. What it is made of stands in newAgent, what runs when in run.
type agent struct {
	s       *Settings
	log     *slog.Logger
	load    func() (*config.Config, error)
	extra   []remotewrite.Destination // beside those of the configuration file
	metrics *configMetrics

	pool   *bufpool.Pool
	dict   *labelcompress.Dict
	keeper *memlimit.Keeper
	budget memoryBudget
	// container is where the budget may come from, and what else counts towards it.
	container *container
	// source is where the budget comes from which the Keeper has.
	source atomic.Pointer[string]
	// counted says that countContainer has done its work.
	counted bool
	// rebudgeted says that the budget has changed and the destinations' parts of it have not.
	rebudgeted chan struct{}
	// tmpfsQueue says that the files of the queue are memory, tmpfsSpool that those of scrapes are.
	tmpfsQueue, tmpfsSpool bool
	// replaced follows what was superseded and is still in memory.
	replaced   *snapshots.Book
	oldConfigs *snapshots.Kind[config.Config]

	writer  *remotewrite.Writer
	targets *scrape.Manager
	found   *discovery.Discovery
	servers []*web.Server

	reloadMu sync.Mutex                // one reload at a time
	dests    []remotewrite.Destination // as they are configured; guarded by reloadMu

	textMu sync.Mutex // one configText at a time

	mu         sync.Mutex
	shown      *config.Config // what /config shows, without its jobs; nil until the first one was applied
	ready      error
	nextReload *reloading // which was asked for and has not begun; nil if there is none
}

// parts are what newAgent is told beside the settings.
type parts struct {
	log      *slog.Logger
	load     func() (*config.Config, error) // reads the configuration
	extra    []remotewrite.Destination
	hostSeed string
	hostname string
	quit     func()
	latest   func(limit int, filter string) []web.LatestValue // nil but in the demo
}

// newAgent connects the parts. It starts nothing.
func newAgent(s *Settings, p parts) (*agent, error) {
	a := &agent{s: s, log: p.log, load: p.load, extra: p.extra, ready: errors.New("starting"), replaced: snapshots.New(), rebudgeted: make(chan struct{}, 1)}
	a.oldConfigs = snapshots.NewKind[config.Config](a.replaced, "configuration", nil)
	reg := prom.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reg.MustRegister(newBuildInfo(version))
	a.metrics = newConfigMetrics(reg)

	var err error
	a.setMemory()
	if a.pool, err = bufpool.New(bufpool.Options{MaxIdleBytes: idleBytes(a.budget.Bytes)}); err != nil {
		return nil, err
	}
	a.dict = labelcompress.New(labelcompress.Options{MaxBytes: labelBytes(s.MaxLabelBytes, a.budget.Bytes)})
	a.writer, err = remotewrite.New(remotewrite.Options{
		Pool: a.pool, Logger: p.log, Metrics: remotewrite.NewMetrics(reg), UserAgent: "scraper/" + version,
		FlushInterval: s.FlushInterval, MaxRowsPerBlock: s.MaxRowsPerBlock, MaxBlockBytes: int(s.MaxBlockBytes),
		DrainTimeout: s.FlushDeadline, QueueDir: queueDir(s), KeepDanglingQueues: s.KeepDanglingQueues, ZstdLevel: s.ZstdLevel,
		MaxOpenBytes: openBytes(a.budget.Bytes), Account: a.openAccountOf, Pressed: a.isMemoryHigh, Short: a.isMemoryShort,
		RelabelCacheBytes: cacheBytes(a.budget.Bytes), Snapshots: a.replaced,
	})
	if err != nil {
		return nil, err
	}
	scraped := scrape.NewMetrics(reg)
	reg.MustRegister(newBooksCollector(scraped.Unbalanced, a.writer.Books))
	a.tmpfsSpool, _ = memlimit.OnTmpfs(cmp.Or(s.DataPath, os.TempDir()))
	batchBytes, spoolBytes := a.batchLimits(a.budget.Bytes)
	a.targets, err = scrape.New(scrape.Options{
		Sink: a.writer, Dict: a.dict, Pool: a.pool, Logger: p.log, Metrics: scraped, Dialect: s.Dialect,
		HostSeed: p.hostSeed, UserAgent: "scraper/" + version, MaxScrapeBytes: s.MaxScrapeBytes, MaxLineBytes: int(s.MaxLineBytes),
		MaxBatchBytes: batchBytes, SpoolDir: s.DataPath, MaxSpoolBytes: spoolBytes, Released: a.keeper.Released,
		Metadata: s.Metadata, StartTimestamps: s.StartTimestamps, Memory: a.keeper, Snapshots: a.replaced,
	})
	if err != nil {
		return nil, err
	}
	a.found, err = discovery.New(discovery.Options{
		Logger: p.log, Metrics: discovery.NewMetrics(reg), FileCheckInterval: s.FileCheckInterval, Getenv: os.LookupEnv,
		OnUpdate: a.targets.SetGroups, Snapshots: a.replaced,
	})
	if err != nil {
		return nil, err
	}
	a.openAccounts()
	a.keeper.Watch(func(memlimit.Level) { a.targets.LookAtMemory() })
	reg.MustRegister(memlimit.NewCollector(a.keeper), newPoolCollector(a.pool), newDictCollector(a.dict), snapshots.NewCollector(a.replaced),
		scrape.NewMemoryCollector(a.targets))
	if err := a.newServers(p, reg); err != nil {
		return nil, err
	}
	return a, nil
}

// newServers makes one server per listen address.
func (a *agent) newServers(p parts, reg *prom.Registry) error {
	keys, err := loadKeys(a.s.AuthKeys)
	if err != nil {
		return err
	}
	password, err := a.s.HTTPPassword.Load()
	if err != nil {
		return fmt.Errorf("-httpAuth.password: %w", err)
	}
	metrics := web.NewMetrics(reg)
	for _, l := range a.s.Listen {
		srv, err := web.New(web.Options{
			Addr: l.Addr, TLSCertFile: l.CertFile, TLSKeyFile: l.KeyFile,
			BasicAuth: web.BasicAuth{User: a.s.HTTPUsername, Password: password}, AuthKeys: keys,
			MaxConnections: pageConnections(a.budget.Bytes, len(a.s.Listen)),
			Dialect:        a.s.Dialect, EnableLifecycle: a.s.EnableLifecycle, Version: version, Hostname: p.hostname,
			Logger: p.log, Metrics: metrics, Gather: reg,
			Targets: a.targets.Snapshot, Destinations: a.writer.Status, Metadata: a.targets.Metadata,
			Config: a.configText, Flags: func() []web.Flag { return shownFlags(a.s) },
			MemoryShort: func() bool { return a.keeper.Level() > memlimit.Normal },
			Memory:      a.memory, Ready: a.isReady, Reload: a.reloadWithin, Quit: p.quit, Latest: p.latest,
		})
		if err != nil {
			return err
		}
		a.servers = append(a.servers, srv)
	}
	return nil
}

func loadKeys(k AuthKeys) (web.AuthKeys, error) {
	var w web.AuthKeys
	for _, x := range []struct {
		flag string
		from Secret
		to   *string
	}{
		{"-reloadAuthKey", k.Reload, &w.Reload}, {"-configAuthKey", k.Config, &w.Config}, {"-flagsAuthKey", k.Flags, &w.Flags},
		{"-metricsAuthKey", k.Metrics, &w.Metrics}, {"-pprofAuthKey", k.Pprof, &w.Pprof},
	} {
		v, err := x.from.Load()
		if err != nil {
			return w, fmt.Errorf("%s: %w", x.flag, err)
		}
		*x.to = v
	}
	return w, nil
}

// listen opens the listen addresses, so that one which is taken is known before anything is scraped.
func (a *agent) listen(ctx context.Context) error {
	for _, srv := range a.servers {
		if err := srv.Listen(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addresses are those which listen has opened: the way to learn which port the system chose for port 0.
func (a *agent) addresses() string {
	var addrs []string
	for _, srv := range a.servers {
		addrs = append(addrs, srv.Addr().String())
	}
	return strings.Join(addrs, ",")
}

// run runs the agent until ctx is done: it then stops scraping, delivers what it has, and closes the pages last.
func (a *agent) run(ctx context.Context) error {
	var scraping, sending, serving sync.WaitGroup
	stopAll, cancelAll := context.WithCancelCause(ctx)
	defer cancelAll(nil)
	background := context.WithoutCancel(ctx)
	sendCtx, stopSending := context.WithCancel(background)
	defer stopSending()
	serveCtx, stopServing := context.WithCancel(background)
	defer stopServing()
	start := func(wg *sync.WaitGroup, ctx context.Context, what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				cancelAll(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	for _, srv := range a.servers {
		start(&serving, serveCtx, "serve pages", srv.Run)
	}
	start(&serving, serveCtx, "trim buffers", a.pool.Run)
	start(&serving, serveCtx, "watch memory", a.keeper.Run)
	start(&serving, serveCtx, "compact labels", a.compactLabels)
	start(&serving, serveCtx, "follow the budget", a.followQueues)
	start(&sending, sendCtx, "send", a.writer.Run)
	start(&scraping, stopAll, "discover", a.found.Run)
	start(&scraping, stopAll, "scrape", a.targets.Run)
	a.setReady(nil)

	<-stopAll.Done()
	a.setReady(errors.New("stopping"))
	a.log.Info("stopping: delivering what was scraped", "timeout", a.s.FlushDeadline)
	scraping.Wait()
	stopSending()
	sending.Wait()
	stopServing()
	serving.Wait()
	if err := context.Cause(stopAll); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// close gives back what exists without run.
func (a *agent) close() {
	for _, srv := range a.servers {
		_ = srv.Close()
	}
	_ = a.targets.Close()
	_ = a.writer.Close()
}

func (a *agent) compactLabels(ctx context.Context) error {
	ticker := time.NewTicker(compactEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			a.dict.CompactStep(compactBytes)
		}
	}
}

func (a *agent) setReady(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready = err
}

func (a *agent) isReady() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

// configText is what /config shows. Several who ask get it one after the other, since making it takes many times the file.
func (a *agent) configText() string {
	a.mu.Lock()
	cfg := a.shown
	a.mu.Unlock()
	if cfg == nil {
		return ""
	}
	a.textMu.Lock()
	defer a.textMu.Unlock()
	return cfg.Text()
}
