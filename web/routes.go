package web

import "net/http"

// route is one path, what it takes and who may ask for it.
type route struct {
	path string
	h    http.HandlerFunc
	// change: the route changes state. It takes POST and PUT, never from another site; all others take GET and HEAD.
	change bool
	// anyMethod: there is nothing here, whatever the method.
	anyMethod bool
	access    access
	// render: the answer holds a snapshot; only maxRenders of them are made at a time. large: of all targets, or of what they
	// said; only one of these is made at a time while memory is short.
	render, large bool
	// slow: the handler may take longer than the write timeout, and sets its own deadline.
	slow bool
	// raw: the answer is not to be compressed here.
	raw bool
}

// access says who may ask for a route. The zero value asks for basic authentication, if it is configured.
type access struct {
	// open: anybody may, whatever is configured. For probes, which show nothing.
	open bool
	// key replaces basic authentication if it is not empty; keyFlag is the flag which sets it.
	key, keyFlag string
	// local: with neither key nor basic authentication only local peers may.
	local bool
}

// routes is the table of all paths. Each stands under /prometheus too, where vmagent has them.
func (s *Server) routes() http.Handler {
	var (
		k       = s.o.AuthKeys
		open    = access{open: true}
		reload  = access{key: k.Reload, keyFlag: "-reloadAuthKey", local: true}
		conf    = access{key: k.Config, keyFlag: "-configAuthKey"}
		flags   = access{key: k.Flags, keyFlag: "-flagsAuthKey"}
		metrics = access{key: k.Metrics, keyFlag: "-metricsAuthKey"}
		pprof   = access{key: k.Pprof, keyFlag: "-pprofAuthKey", local: true}
		body    = access{local: true} // shows what targets said
	)
	table := []route{
		// Probes.
		{path: "/health", h: s.health, access: open, raw: true},
		{path: "/ping", h: s.ping, access: open, raw: true},
		{path: "/ready", h: s.readyOK, access: open, raw: true},
		{path: "/-/healthy", h: s.healthy, access: open, raw: true},
		{path: "/-/ready", h: s.ready, access: open, raw: true},

		// Pages.
		{path: "/{$}", h: s.overview, render: true, large: true},
		{path: "/targets", h: s.targets, render: true, large: true},
		{path: "/service-discovery", h: s.serviceDiscovery, render: true, large: true},
		{path: "/destinations", h: s.destinations, render: true},
		{path: "/config", h: s.config, access: conf, render: true},
		{path: "/flags", h: s.flags, access: flags},
		{path: "/version", h: s.version},
		{path: "/assets/{name}", h: s.asset},
		{path: "/favicon.ico", h: s.favicon, access: open, raw: true},

		// JSON.
		{path: "/api/v1/targets", h: s.apiTargets, render: true, large: true},
		{path: "/api/v1/metadata", h: s.apiMetadata, access: body, render: true, large: true},
		{path: "/api/v1/targets/metadata", h: s.apiTargetsMetadata, access: body, render: true, large: true},
		{path: "/api/v1/scrape_pools", h: s.apiScrapePools, render: true, large: true},
		{path: "/api/v1/destinations", h: s.apiDestinations, render: true},
		{path: "/api/v1/latest", h: s.apiLatest, access: body, render: true},
		{path: "/api/v1/status/config", h: s.apiConfig, access: conf, render: true},
		{path: "/api/v1/status/flags", h: s.apiFlags, access: flags},
		{path: "/api/v1/status/buildinfo", h: s.apiBuildInfo},
		{path: "/api/", h: s.apiNotFound, anyMethod: true},

		// Operation.
		{path: "/metrics", h: s.metrics(), access: metrics},
		{path: "/-/reload", h: s.reload, change: true, access: reload, slow: true, raw: true},
		{path: "/debug/pprof/{name...}", h: s.pprof, access: pprof, slow: true, raw: true},
		{path: "/debug/memory", h: s.memory, access: access{local: true}, render: true},

		{path: "/", h: http.NotFound, raw: true, anyMethod: true},
	}
	if s.prometheus() {
		table = append(table,
			route{path: "/-/quit", h: s.quit, change: true, access: reload, raw: true},
			route{path: "/agent", h: s.agent, raw: true}) // where Prometheus' own front page is
	}
	mux := http.NewServeMux()
	for _, rt := range table {
		h := s.wrap(rt)
		mux.Handle(rt.path, h)
		if rt.path != "/" {
			mux.Handle("/prometheus"+rt.path, h)
		}
	}
	return mux
}
