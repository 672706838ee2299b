package main

import (
	"slices"
	"strings"
)

// foreignGroup is a list of flags which a peer has and Scraper has not, and what becomes of them. Harmless ones cannot
// change what is scraped or delivered, nor who may see it: they are accepted with a warning. Refused ones would change
// it: to ignore them would be a lie.
//
// A flag is written "name", or "name?" if it is a boolean, which needs no value. What follows "=" are the values, joined
// by |, which ask for nothing that is not so anyway: with them, a refused flag is harmless. That of booleans is false
// if none is written, and an empty value asks for nothing either.
type foreignGroup struct {
	family  family
	refused bool
	why     string // a clause for the message
	flags   []string
}

func foreignGroups() []foreignGroup {
	return []foreignGroup{
		// vmagent

		{family: ofVMAgent, why: "it tunes caches and files which Scraper has not", flags: []string{
			"blockcache.missesBeforeCaching", "cacheExpireDuration", "prevCacheRemovalPercent", "filestream.disableFadvise?",
			"fs.disableMincore?", "fs.disableMmap?", "fs.maxConcurrency", "internStringCacheExpireDuration",
			"internStringDisableCache?", "internStringMaxLen", "denyQueryTracing?",
		}},
		{family: ofVMAgent, why: "it sizes vmagent's queues in memory and bounds no process; -memory.limit bounds this one", flags: []string{
			"memory.allowedBytes", "memory.allowedPercent",
		}},
		{family: ofVMAgent, why: "Scraper takes no data that is pushed to it", flags: []string{
			"csvTrimTimestamp", "datadog.maxInsertRequestSize", "datadog.sanitizeMetricName?", "graphite.sanitizeMetricName?",
			"graphiteListenAddr.useProxyProtocol?", "graphiteTrimTimestamp", "import.maxLineLen", "influx.databaseNames",
			"influx.forceStreamMode?", "influx.maxLineSize", "influx.maxRequestSize", "influxDBLabel",
			"influxListenAddr.useProxyProtocol?", "influxMeasurementFieldSeparator", "influxSkipMeasurement?",
			"influxSkipSingleField?", "influxTrimTimestamp", "insert.maxQueueDuration", "maxConcurrentInserts",
			"maxInsertRequestSize", "newrelic.maxInsertRequestSize", "opentelemetry.convertMetricNamesToPrometheus?",
			"opentelemetry.maxRequestSize", "opentelemetry.usePrometheusNaming?", "opentsdbHTTPListenAddr.useProxyProtocol?",
			"opentsdbListenAddr.useProxyProtocol?", "opentsdbTrimTimestamp", "opentsdbhttp.maxInsertRequestSize",
			"opentsdbhttpTrimTimestamp", "zabbixconnector.addDuplicateTagsSeparator", "zabbixconnector.addEmptyTagsValue",
			"zabbixconnector.addGroupsValue", "zabbixconnector.maxLineLen",
		}},
		{family: ofVMAgent, refused: true, why: "Scraper takes no data that is pushed to it, and what comes there would be lost", flags: []string{
			"enableMultitenantHandlers?", "graphiteListenAddr", "influxListenAddr", "opentsdbHTTPListenAddr", "opentsdbListenAddr",
			"gcp.pubsub.subscribe.credentialsFile", "gcp.pubsub.subscribe.defaultMessageFormat",
			"gcp.pubsub.subscribe.topicSubscription", "gcp.pubsub.subscribe.topicSubscription.concurrency",
			"gcp.pubsub.subscribe.topicSubscription.isGzipped?", "gcp.pubsub.subscribe.topicSubscription.messageFormat",
			"kafka.consumer.topic", "kafka.consumer.topic.basicAuth.password", "kafka.consumer.topic.basicAuth.username",
			"kafka.consumer.topic.brokers", "kafka.consumer.topic.concurrency", "kafka.consumer.topic.defaultFormat",
			"kafka.consumer.topic.format", "kafka.consumer.topic.groupID", "kafka.consumer.topic.isGzipped?",
			"kafka.consumer.topic.options",
		}},
		{family: ofVMAgent, refused: true, why: "Scraper sends by Prometheus' remote write alone", flags: []string{
			"gcp.pubsub.publish.byteThreshold", "gcp.pubsub.publish.countThreshold", "gcp.pubsub.publish.credentialsFile",
			"gcp.pubsub.publish.delayThreshold", "gcp.pubsub.publish.maxOutstandingBytes",
			"gcp.pubsub.publish.maxOutstandingMessages", "gcp.pubsub.publish.timeout", "remoteWrite.multitenantURL",
		}},
		{family: ofVMAgent, why: "it needs no license", flags: []string{
			"eula?", "license", "license.forceOffline?", "licenseFile", "licenseFile.reloadInterval",
		}},
		{family: ofVMAgent, why: "the listen address has limits of its own", flags: []string{
			"enableTCP6?", "http.connTimeout", "http.disableCORS?", "http.disableKeepAlive?", "http.disableResponseCompression?",
			"http.idleConnTimeout", "http.maxGracefulShutdownDuration", "http.shutdownDelay", "metrics.exposeMetadata?",
		}},
		{family: ofVMAgent, refused: true, why: "the listen address would be less protected than it asks for", flags: []string{
			"http.header.csp", "http.header.frameOptions", "http.header.hsts", "mtls?", "mtlsCAFile", "tlsAutocertCacheDir",
			"tlsAutocertEmail", "tlsAutocertHosts", "tlsCipherSuites", "tlsMinVersion=TLS10|TLS11|TLS12",
		}},
		{family: ofVMAgent, refused: true, why: "pages have their standard paths, and whoever checks them elsewhere would find none", flags: []string{
			"http.pathPrefix=/", "httpListenAddr.useProxyProtocol?",
		}},
		{family: ofVMAgent, why: "log lines go to standard error, each problem once when it begins and ends", flags: []string{
			"loggerDisableTimestamps?", "loggerErrorsPerSecondLimit", "loggerJSONFields", "loggerMaxArgLen", "loggerOutput",
			"loggerTimezone", "loggerWarnsPerSecondLimit", "promscrape.suppressDuplicateScrapeTargetErrors?",
			"promscrape.suppressScrapeErrors?", "promscrape.suppressScrapeErrorsDelay",
		}},
		{family: ofVMAgent, refused: true, why: "Scraper cannot push its own metrics: scrape its /metrics", flags: []string{
			"pushmetrics.url",
		}},
		{family: ofVMAgent, why: "Scraper does not push its own metrics", flags: []string{
			"pushmetrics.disableCompression?", "pushmetrics.extraLabel", "pushmetrics.header", "pushmetrics.interval",
		}},
		{family: ofVMAgent, why: "no job can use this kind of discovery yet", flags: []string{
			"promscrape.azureSDCheckInterval", "promscrape.consul.waitTime", "promscrape.consulSDCheckInterval",
			"promscrape.consulagentSDCheckInterval", "promscrape.digitaloceanSDCheckInterval", "promscrape.discovery.concurrency",
			"promscrape.discovery.concurrentWaitTime", "promscrape.dnsSDCheckInterval", "promscrape.dockerSDCheckInterval",
			"promscrape.dockerswarmSDCheckInterval", "promscrape.ec2SDCheckInterval", "promscrape.eurekaSDCheckInterval",
			"promscrape.gceSDCheckInterval", "promscrape.hetznerSDCheckInterval", "promscrape.httpSDCheckInterval",
			"promscrape.kubernetes.apiServerTimeout", "promscrape.kubernetes.useHTTP2Client?", "promscrape.kubernetesSDCheckInterval",
			"promscrape.kumaSDCheckInterval", "promscrape.linodeSDCheckInterval", "promscrape.marathonSDCheckInterval",
			"promscrape.nomad.waitTime", "promscrape.nomadSDCheckInterval", "promscrape.openstackSDCheckInterval",
			"promscrape.ovhcloudSDCheckInterval", "promscrape.puppetdbSDCheckInterval", "promscrape.vultrSDCheckInterval",
			"promscrape.yandexcloudSDCheckInterval",
		}},
		{family: ofVMAgent, refused: true, why: "targets would lack the labels it asks for", flags: []string{
			"promscrape.kubernetes.attachNamespaceMetadataAll?", "promscrape.kubernetes.attachNodeMetadataAll?",
		}},
		{family: ofVMAgent, why: "every scrape is read in chunks, and a key that is not known is always an error", flags: []string{
			"promscrape.config.strictParse?", "promscrape.minResponseSizeForStreamParse", "promscrape.streamParse?",
		}},
		{family: ofVMAgent, why: "what is scraped is the same", flags: []string{
			"promscrape.disableCompression?", "promscrape.disableKeepAlive?", "promscrape.dropOriginalLabels?",
			"promscrape.maxDroppedTargets", "promscrape.maxResponseHeadersSize",
		}},
		{family: ofVMAgent, refused: true, why: "changes of the configuration would go unnoticed: send SIGHUP or POST /-/reload", flags: []string{
			"promscrape.configCheckInterval=0|0s",
		}},
		{family: ofVMAgent, refused: true, why: "targets cannot be divided among agents yet, so that each agent would scrape all of them", flags: []string{
			"promscrape.cluster.memberLabel", "promscrape.cluster.membersCount=0|1",
		}},
		{family: ofVMAgent, why: "targets are not divided among agents", flags: []string{
			"promscrape.cluster.memberNum", "promscrape.cluster.memberURLTemplate", "promscrape.cluster.replicationFactor",
			"promscrape.cluster.shardByLabels",
		}},
		{family: ofVMAgent, refused: true, why: "series that it keeps back or shapes would be sent as they are", flags: []string{
			"maxIngestionRate=0", "maxLabelNameLen=0", "maxLabelValueLen=0", "maxLabelsPerTimeseries=0",
			"promscrape.noStaleMarkers?", "promscrape.seriesLimitPerTarget=0", "remoteWrite.maxDailySeries=0",
			"remoteWrite.maxHourlySeries=0", "remoteWrite.mdx.enable?", "mdx.label", "remoteWrite.obfuscateLabels",
			"remoteWrite.relabelDebug?", "remoteWrite.roundDigits=100",
			"remoteWrite.significantFigures=0", "remoteWrite.urlRelabelDebug?", "usePromCompatibleNaming?",
		}},
		{family: ofVMAgent, refused: true, why: "requests are not signed for AWS: send through a signing proxy (aws-sigv4-proxy) on this host", flags: []string{
			"remoteWrite.aws.useSigv4?",
		}},
		{family: ofVMAgent, why: "it says something only together with -remoteWrite.aws.useSigv4", flags: []string{
			"remoteWrite.aws.accessKey", "remoteWrite.aws.ec2Endpoint", "remoteWrite.aws.region", "remoteWrite.aws.roleARN",
			"remoteWrite.aws.secretKey", "remoteWrite.aws.service", "remoteWrite.aws.stsEndpoint",
		}},
		{family: ofVMAgent, refused: true, why: "every URL receives everything", flags: []string{
			"remoteWrite.shardByURL?",
		}},
		{family: ofVMAgent, why: "it says something only together with -remoteWrite.shardByURL", flags: []string{
			"remoteWrite.shardByURL.ignoreLabels", "remoteWrite.shardByURL.labels", "remoteWrite.shardByURLReplicas",
		}},
		{family: ofVMAgent, refused: true, why: "samples would be sent unaggregated", flags: []string{
			"remoteWrite.streamAggr.config", "remoteWrite.streamAggr.dedupInterval=0|0s", "streamAggr.config",
			"streamAggr.dedupInterval=0|0s",
		}},
		{family: ofVMAgent, why: "it says something only where samples are aggregated", flags: []string{
			"remoteWrite.streamAggr.dropInput?", "remoteWrite.streamAggr.dropInputLabels", "remoteWrite.streamAggr.enableWindows?",
			"remoteWrite.streamAggr.ignoreFirstIntervals", "remoteWrite.streamAggr.ignoreOldSamples?",
			"remoteWrite.streamAggr.keepInput?", "streamAggr.dropInput?", "streamAggr.dropInputLabels", "streamAggr.enableWindows?",
			"streamAggr.ignoreFirstIntervals", "streamAggr.ignoreOldSamples?", "streamAggr.keepInput?",
		}},
		{family: ofVMAgent, why: "what waits to be sent is bounded, the oldest is dropped first, and a scrape never waits for it", flags: []string{
			"remoteWrite.dropSamplesOnOverload?", "remoteWrite.inmemoryQueues",
		}},
		{family: ofVMAgent, why: "metadata are few, and labels are always sorted", flags: []string{
			"remoteWrite.maxMetadataPerBlock", "sortLabels?",
		}},
		{family: ofVMAgent, why: "-remoteWrite.sendTimeout covers the handshake", flags: []string{"remoteWrite.tlsHandshakeTimeout"}},

		// Prometheus

		{family: ofPrometheus, why: "Scraper is an agent: it stores, evaluates and answers nothing", flags: []string{
			"alertmanager.drain-notification-queue-on-shutdown?", "alertmanager.notification-batch-size",
			"alertmanager.notification-queue-capacity", "alertmanager.timeout", "query.lookback-delta", "query.max-concurrency",
			"query.max-samples", "query.timeout", "rules.alert.for-grace-period", "rules.alert.for-outage-tolerance",
			"rules.alert.resend-delay", "rules.max-concurrent-evals", "storage.remote.read-concurrent-limit",
			"storage.remote.read-max-bytes-in-frame", "storage.remote.read-sample-limit", "storage.tsdb.allow-overlapping-blocks?",
			"storage.tsdb.block-reload-interval", "storage.tsdb.delay-compact-file.path",
			"storage.tsdb.head-chunks-write-queue-size", "storage.tsdb.max-block-chunk-segment-size",
			"storage.tsdb.max-block-duration", "storage.tsdb.min-block-duration", "storage.tsdb.no-lockfile?", "storage.tsdb.path",
			"storage.tsdb.retention", "storage.tsdb.retention.size", "storage.tsdb.retention.time", "storage.tsdb.samples-per-chunk",
			"storage.tsdb.use-lockfile?", "storage.tsdb.wal-compression?", "storage.tsdb.wal-compression-type",
			"storage.tsdb.wal-segment-size", "web.enable-admin-api?",
		}},
		{family: ofPrometheus, why: "Scraper has no write-ahead log", flags: []string{
			"storage.agent.checkpoint-batch-size", "storage.agent.checkpoint-from-in-memory-series?", "storage.agent.no-lockfile?",
			"storage.agent.retention.max-time", "storage.agent.retention.min-time", "storage.agent.stripe-size",
			"storage.agent.use-lockfile?", "storage.agent.wal-compression?", "storage.agent.wal-compression-type",
			"storage.agent.wal-segment-size", "storage.agent.wal-truncate-frequency",
		}},
		{family: ofPrometheus, why: "-memory.limit and -maxProcs bound what the process uses", flags: []string{
			"auto-gomaxprocs?", "auto-gomemlimit?", "auto-gomemlimit.ratio", "auto-gomemlimit.refresh-interval",
		}},
		{family: ofPrometheus, why: "the listen address has pages and limits of its own", flags: []string{
			"web.console.libraries", "web.console.templates", "web.cors.origin", "web.local-assets", "web.max-connections",
			"web.max-notifications-subscribers", "web.page-title", "web.read-timeout",
			"web.remote-write-receiver.accepted-protobuf-messages", "web.user-assets",
		}},
		{family: ofPrometheus, why: "changes of targets are applied as they are found", flags: []string{"scrape.discovery-reload-interval"}},
		{family: ofPrometheus, why: "it says something only where the configuration is reloaded by itself", flags: []string{"config.auto-reload-interval"}},
		{family: ofPrometheus, refused: true, why: "changes of the configuration would go unnoticed: send SIGHUP or POST /-/reload", flags: []string{"config.auto-reload?"}},
		{family: ofPrometheus, refused: true, why: "the listen address would be less protected than it asks for: use -tls, -tlsCertFile, -tlsKeyFile and -httpAuth.*", flags: []string{"web.config.file"}},
		{family: ofPrometheus, refused: true, why: "pages have their standard paths, and whoever checks them elsewhere would find none", flags: []string{"web.route-prefix=/"}},
		{family: ofPrometheus, refused: true, why: "Scraper takes no data that is pushed to it, and what comes there would be lost", flags: []string{
			"web.enable-otlp-receiver?", "web.enable-remote-write-receiver?",
		}},
		{family: ofPrometheus, refused: true, why: "samples would have other timestamps or names than it asks for", flags: []string{
			"scrape.adjust-timestamps?=true", "scrape.name-escaping-scheme=values|underscores", "scrape.timestamp-tolerance=2ms",
		}},
		{family: ofPrometheus, refused: true, why: "it only prints Prometheus' documentation", flags: []string{"write-documentation?"}},
	}
}

// harmlessFeatures are the names for --enable-feature which change nothing for an agent, or ask for what is always so.
var harmlessFeatures = []string{
	"agent", "auto-gomaxprocs", "auto-gomemlimit", "concurrent-rule-eval", "delayed-compaction", "exemplar-storage",
	"expand-external-labels", "memory-snapshot-on-shutdown", "metadata-wal-records",
	"new-service-discovery-manager", "no-default-scrape-port", "old-ui", "otlp-deltatocumulative",
	"otlp-native-delta-ingestion", "promql-at-modifier", "promql-binop-fill-modifiers", "promql-delayed-name-removal",
	"promql-duration-expr", "promql-experimental-functions", "promql-extended-range-selectors", "promql-negative-offset",
	"promql-per-step-stats", "use-uncached-io", "utf8-names",
}

// startFeatures are those which ask for start timestamps, and what is to be known about each.
var startFeatures = map[string]string{
	"created-timestamp-zero-ingestion": "start timestamps are sent in remote write 2.0; Scraper makes no samples of them, a receiver with the same feature does",
	"st-storage":                       "",
}

// refusedFeatures are those which would change what is scraped or sent, and why they cannot be had.
var refusedFeatures = map[string]string{
	"auto-reload-config":    "changes of the configuration would go unnoticed: send SIGHUP or POST /-/reload",
	"extra-scrape-metrics":  "its additional series would be missing",
	"otlp-write-receiver":   "Scraper takes no data that is pushed to it",
	"remote-write-receiver": "Scraper takes no data that is pushed to it",
	"st-synthesis":          "counters would be sent as they are",
	"type-and-unit-labels":  "its labels would be missing",
}

// foreignFlag is one flag of foreignGroups.
type foreignFlag struct {
	name    string
	family  family
	isBool  bool
	refused bool
	why     string
	same    []string // values which ask for nothing
}

// foreignFlags returns the flags of the peers which Scraper has not, by name.
func foreignFlags() map[string]*foreignFlag {
	all := make(map[string]*foreignFlag)
	for _, g := range foreignGroups() {
		for _, text := range g.flags {
			name, same, _ := strings.Cut(text, "=")
			f := &foreignFlag{family: g.family, refused: g.refused, why: g.why, same: strings.Split(same, "|")}
			f.name, f.isBool = strings.CutSuffix(name, "?")
			if f.isBool && same == "" {
				f.same = []string{"false"}
			}
			all[f.name] = f
		}
	}
	return all
}

func (f *foreignFlag) String() string { return f.family.dashes() + f.name }

// asksForNothing reports whether a value is what Scraper does without the flag too. All items of a list must be.
func (f *foreignFlag) asksForNothing(text string) bool {
	for _, item := range strings.Split(text, ",") {
		if f.isBool {
			if b, err := parseBool(item); err == nil && slices.Contains(f.same, map[bool]string{true: "true", false: "false"}[b]) {
				continue
			}
		}
		if item != "" && !slices.Contains(f.same, item) {
			return false
		}
	}
	return true
}
