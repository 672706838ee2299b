package main

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// family says whose a flag is, which decides how it is written and what it may be combined with.
type family uint8

const (
	ofScraper    family = iota // written as vmagent's
	ofVMAgent                  // -name, --name, -name=value, -name value; booleans need the = for a value
	ofPrometheus               // --name value, --name=value, --no-name
)

// dashes is what the family's flags are written with.
func (f family) dashes() string {
	if f == ofPrometheus {
		return "--"
	}
	return "-"
}

// helpGroups are the groups of -help, in order.
var helpGroups = []string{"Scraping", "Remote write", "HTTP server", "Logging", "Memory", "Other"}

// flagDef is a flag that Scraper has.
type flagDef struct {
	name   string // without dashes
	family family
	group  string // one of helpGroups
	help   string
	value  value

	arg      string // what -help calls the value, "" for a boolean
	def      string // what -help calls the default, where value.text at the start is not it
	secret   bool   // the value is shown nowhere
	perURL   bool   // a list with one item for each -remoteWrite.url
	setting  string // what it sets, where a flag of the other family sets the same
	repeated bool   // of Prometheus' family: may be given more than once
	demo     bool   // scraper demo has it too
	isSet    bool   // by the command line or the environment
}

func (d *flagDef) isBool() bool { return d.arg == "" }

// String is the flag as it is written.
func (d *flagDef) String() string { return d.family.dashes() + d.name }

// shown is the value as pages, logs and -help may show it.
func (d *flagDef) shown() string {
	text := d.value.text()
	if d.secret && text != "" {
		return "secret"
	}
	if d.arg == "file" && strings.Contains(text, "://") {
		return urlSecrets.ReplaceAllString(text, "$1")
	}
	return text
}

// urlSecrets finds user, password and query in URLs which are given in place of files.
var urlSecrets = regexp.MustCompile(`(://)[^/@,"\s]*@|\?[^,"\s]*`)

// lists are the values that have one item for each URL or address, before they are put together in Settings.
type lists struct {
	listen, tls, tlsCert, tlsKey list

	url, sendTimeout, retryMin, retryMax      list
	headers                                   list
	username, password, passwordFile          list
	bearerToken, bearerTokenFile              list
	tlsCA, tlsClientCert, tlsClientKey        list
	tlsServerName, tlsInsecure                list
	maxDisk, noDiskQueue, noMetadata          list
	onRefused, onAuthError, rateLimit         list
	queues, name                              list
	protocol, forceProm, forceVM              list
	labels, urlRelabel, proxyURL              list
	oauthID, oauthSecret, oauthSecretFile     list
	oauthParams, oauthScopes, oauthURL        list
	secretFlags, features                     list
	logLevel, promLogLevel, format, logFormat string
	configFile, promFile                      string
	dialect, envPrefix                        string
	envEnable, agent, lifecycle               bool
}

const (
	vmagentListen    = ":8429"
	prometheusListen = "0.0.0.0:9090"
	vmagentData      = "scraper-remotewrite-data"
	prometheusData   = "data-agent/"
	prometheusFile   = "prometheus.yml"

	sendTimeout = time.Minute
	retryMin    = time.Second
	retryMax    = time.Minute
	// maxQueues is the number of slots of a queue: each has one request on its way, which keeps the order of a series.
	maxQueues = 4
	// maxBlockBytes is the largest request which remote write sends.
	maxBlockBytes = 128 << 20
)

// newFlags sets s and l to the defaults, and returns the flags which change them, in the order of -help.
func newFlags(s *Settings, l *lists) []*flagDef {
	*s = Settings{
		MaxScrapeBytes:    1 << 30,
		MaxLineBytes:      1 << 20,
		MaxBatchDisk:      1 << 30,
		Metadata:          true,
		FileCheckInterval: time.Minute,
		FlushInterval:     time.Second,
		MaxBlockBytes:     8 << 20,
		MaxRowsPerBlock:   10_000,
		FlushDeadline:     4 * time.Second, // whoever stops us expects the process to be gone within 5 s
		LogLevel:          slog.LevelInfo,
		LogFormat:         "text",
		MaxProcs:          4,
	}
	*l = lists{logLevel: "INFO", promLogLevel: "info", format: "text", logFormat: "logfmt"}
	for _, d := range []*list{&l.sendTimeout, &l.retryMin, &l.retryMax} {
		d.check = checkDuration
	}
	l.tls.check = checkBool
	l.tlsInsecure.check = checkBool
	l.noDiskQueue.check = checkBool
	l.noMetadata.check = checkBool
	l.maxDisk.check = checkSize
	l.rateLimit.check = checkSize
	l.queues.check = checkCount
	l.forceProm.check = checkBool
	l.forceVM.check = checkBool
	l.protocol.check = checkWord(protocolWords)
	l.onRefused.check = checkWord(onRefusedWords)
	l.onAuthError.check = checkWord(onAuthErrorWords)
	l.labels.check = checkLabel
	var flags []*flagDef
	flags = append(flags, scrapeFlags(s, l)...)
	flags = append(flags, remoteWriteFlags(s, l)...)
	flags = append(flags, httpFlags(s, l)...)
	return append(flags, processFlags(s, l)...)
}

func scrapeFlags(s *Settings, l *lists) []*flagDef {
	const group = "Scraping"
	return []*flagDef{
		{name: "promscrape.config", family: ofVMAgent, group: group, arg: "file", value: stringValue{&l.configFile},
			help: "Scrape configuration. Starts Scraper as vmagent is started: its meaning holds where it and Prometheus differ."},
		{name: "config.file", family: ofPrometheus, group: group, arg: "file", def: prometheusFile, value: stringValue{&l.promFile},
			help: "Configuration file. Starts Scraper as Prometheus in agent mode is started: its meaning holds where it and vmagent differ."},
		{name: "promscrape.dialect", family: ofScraper, group: group, arg: "vmagent|prometheus", value: enumValue{[]string{"vmagent", "prometheus"}, &l.dialect, nil},
			help: "Whose meaning holds where vmagent and Prometheus differ, whichever way Scraper was started."},
		{name: "agent", family: ofPrometheus, group: group, value: boolValue{&l.agent},
			help: "Accepted, since Scraper is an agent."},
		{name: "promscrape.config.dryRun", family: ofVMAgent, group: group, value: boolValue{&s.ConfigDryRun},
			help: "Check the configuration file and exit: with 0 if it is good, else with 1 and what is wrong with it."},
		{name: "dryRun", family: ofVMAgent, group: group, value: boolValue{&s.DryRun},
			help: "Check all configuration files and exit, as -promscrape.config.dryRun."},
		{name: "promscrape.maxScrapeSize", family: ofVMAgent, group: group, arg: "size", value: sizeValue{&s.MaxScrapeBytes, 1},
			help: "Largest body of a scrape, decompressed; a larger one fails the scrape. The default is large because memory does not depend on it. A job may have its own (max_scrape_size, body_size_limit)."},
		{name: "promscrape.maxLineSize", family: ofScraper, group: group, arg: "size", value: sizeValue{&s.MaxLineBytes, 1 << 10},
			help: "Longest line of a scrape; a longer one fails it."},
		{name: "promscrape.maxBatchMemory", family: ofScraper, group: group, arg: "size", value: sizeValue{&s.MaxBatchBytes, 0},
			help: "Memory for the samples of one scrape until it is complete, 12 bytes for most; what exceeds it waits in a temporary file in -remoteWrite.tmpDataPath. 0 means 8MiB, or a 32nd of what the process may use if that is less, and no less than 1MiB."},
		{name: "promscrape.maxBatchDisk", family: ofScraper, group: group, arg: "size", value: sizeValue{&s.MaxBatchDisk, 1},
			help: "What temporary files of scrapes may have together: samples beyond -promscrape.maxBatchMemory, and bodies of many new series. What does not fit stays in memory. Where the directory is in memory, a 16th of what the process may use is the most."},
		{name: "promscrape.startTimestamps", family: ofScraper, group: group, value: boolValue{&s.StartTimestamps},
			help: "Take _created lines of OpenMetrics for the time when their metrics began to count, which remote write 2.0 carries with each sample, instead of for series. As --enable-feature=st-storage, which also asks targets for protocol buffers first. The times in protocol buffers are sent in any case."},
		{name: "enableMetadata", family: ofVMAgent, group: group, value: boolValue{&s.Metadata},
			help: "Keep what targets say of their families, TYPE, HELP and UNIT: for remote write, and /api/v1/metadata."},
		{name: "promscrape.maxLabelMemory", family: ofScraper, group: group, arg: "size", value: sizeValue{&s.MaxLabelBytes, 0},
			help: "Memory for the dictionary of all labels. 0 means half of the memory budget less its reserve, and no bound without a budget. Series whose labels do not fit cost more, and from some number on the scrape fails."},
		{name: "promscrape.fileSDCheckInterval", family: ofVMAgent, group: group, arg: "duration", value: durationValue{&s.FileCheckInterval},
			help: "How often the files of file_sd_configs are checked, beside being watched; for those without refresh_interval."},
		{name: "promscrape.cluster.name", family: ofVMAgent, group: group, arg: "name", value: stringValue{&s.ClusterName},
			help: "Name which differs between agents that scrape the same targets, so that they do so at different times."},
	}
}

func remoteWriteFlags(s *Settings, l *lists) []*flagDef {
	const group = "Remote write"
	return []*flagDef{
		{name: "remoteWrite.url", family: ofVMAgent, group: group, arg: "URL", secret: true, value: &l.url,
			help: "Where samples are pushed to by Prometheus' remote write. Each of several URLs receives everything. remote_write sections of the configuration add up with it. The flags below that are lists have one value for each URL, or one for all."},
		{name: "remoteWrite.tmpDataPath", family: ofVMAgent, group: group, arg: "directory", def: vmagentData, setting: "the data path", value: stringValue{&s.DataPath},
			help: "Directory for what is not sent yet. Scraper's queue lies in scraper-queue/ in it. No two agents may have the same."},
		{name: "storage.agent.path", family: ofPrometheus, group: group, arg: "directory", def: prometheusData, setting: "the data path", value: stringValue{&s.DataPath},
			help: "As -remoteWrite.tmpDataPath."},
		{name: "remoteWrite.name", family: ofScraper, group: group, arg: "name", value: &l.name,
			help: "Names of the corresponding -remoteWrite.url, shown in place of their hosts. A queue belongs to a name, else to a URL's host and path: a URL with a name may change without losing what waits for it."},
		{name: "remoteWrite.queues", family: ofVMAgent, group: group, perURL: true, arg: "number", def: "0", value: &l.queues,
			help: fmt.Sprintf("Most requests on their way to a URL at a time. There are as many as a backlog needs, up to %d, which is also what 0 means.", maxQueues)},
		{name: "remoteWrite.maxDiskUsagePerURL", family: ofVMAgent, group: group, perURL: true, arg: "size", def: "0", value: &l.maxDisk,
			help: "Most bytes of the files of one URL's queue; beyond it the oldest samples are dropped, and counted. 0 means what the disk has."},
		{name: "remoteWrite.maxBlockAge", family: ofScraper, group: group, arg: "duration", value: optionalDuration{&s.MaxBlockAge},
			help: "Age at which samples that could not be sent are dropped, and counted. 0 means never."},
		{name: "remoteWrite.disableOnDiskQueue", family: ofVMAgent, group: group, perURL: true, value: &l.noDiskQueue,
			help: "Keep what is not sent in memory alone. It is lost when the process ends."},
		{name: "remoteWrite.disableMetadata", family: ofVMAgent, group: group, perURL: true, value: &l.noMetadata,
			help: "Do not send TYPE, HELP and UNIT. Else each family's are sent once a minute, and when they change."},
		{name: "remoteWrite.keepDanglingQueues", family: ofVMAgent, group: group, value: boolValue{&s.KeepDanglingQueues},
			help: "Keep the queues of URLs which are configured no more. Else they are removed when they are empty, or have not been written to for a day."},
		{name: "remoteWrite.flushInterval", family: ofVMAgent, group: group, arg: "duration", value: durationValue{&s.FlushInterval},
			help: "How long a sample waits at most for its request to fill. A killed agent loses no more than that."},
		{name: "remoteWrite.maxBlockSize", family: ofVMAgent, group: group, arg: "size", value: sizeValue{&s.MaxBlockBytes, 1 << 10},
			help: "Largest request, before compression."},
		{name: "remoteWrite.maxRowsPerBlock", family: ofVMAgent, group: group, arg: "number", value: intValue{&s.MaxRowsPerBlock, 1},
			help: "Most samples in a request."},
		{name: "remoteWrite.rateLimit", family: ofVMAgent, group: group, perURL: true, arg: "size", def: "0", value: &l.rateLimit,
			help: "Most bytes per second to send, compressed. 0 means no limit."},
		{name: "remoteWrite.relabelConfig", family: ofVMAgent, group: group, arg: "file", value: stringValue{&s.RelabelFile},
			help: "File or URL with relabeling rules for everything that is sent, read again with the configuration."},
		{name: "remoteWrite.urlRelabelConfig", family: ofVMAgent, group: group, arg: "file", value: &l.urlRelabel,
			help: "Files or URLs with relabeling rules for the corresponding -remoteWrite.url, after those of -remoteWrite.relabelConfig. A single one is for the first URL alone, an empty one means no rules."},
		{name: "remoteWrite.label", family: ofVMAgent, group: group, arg: "name=value", value: &l.labels,
			help: "Labels to add to everything that is sent, after relabeling, in place of what has the name already. May be a list."},
		{name: "remoteWrite.protocol", family: ofScraper, group: group, perURL: true, arg: strings.Join(protocolWords, "|"), def: protocolWords[0], value: &l.protocol,
			help: "What to send: remote write 1.0, 2.0, VictoriaMetrics' form of 1.0 in zstd, or the best of them that the receiver takes."},
		{name: "remoteWrite.forcePromProto", family: ofVMAgent, group: group, perURL: true, value: &l.forceProm,
			help: "As -remoteWrite.protocol=1.0."},
		{name: "remoteWrite.forceVMProto", family: ofVMAgent, group: group, perURL: true, value: &l.forceVM,
			help: "As -remoteWrite.protocol=vm."},
		{name: "remoteWrite.vmProtoCompressLevel", family: ofVMAgent, group: group, arg: "number", value: intValue{&s.ZstdLevel, -22},
			help: "How hard to compress by zstd, from -22 to 22. There are four steps: below 0, from 0 on, from 3 on and from 6 on."},
		{name: "remoteWrite.onRefused", family: ofScraper, group: group, perURL: true, arg: "split|drop", def: onRefusedWords[0], value: &l.onRefused,
			help: "What to do with a request that is answered by 400, 413 or 422: split halves it until the refused series stand alone, and drops those; drop drops it whole."},
		{name: "remoteWrite.onAuthError", family: ofScraper, group: group, perURL: true, arg: "retry|drop", def: onAuthErrorWords[0], value: &l.onAuthError,
			help: "What to do with a request that is answered by 401, 403 or 404."},
		{name: "remoteWrite.showURL", family: ofVMAgent, group: group, value: boolValue{&s.ShowURL},
			help: "Show URLs on pages, in logs and in metrics, without user, password and query, in place of their hosts alone."},
		{name: "remoteWrite.sendTimeout", family: ofVMAgent, group: group, perURL: true, arg: "duration", def: formatDuration(sendTimeout), value: &l.sendTimeout,
			help: "Timeout of one request."},
		{name: "remoteWrite.retryMinInterval", family: ofVMAgent, group: group, perURL: true, arg: "duration", def: formatDuration(retryMin), value: &l.retryMin,
			help: "Pause after a request that failed; it doubles with each further failure."},
		{name: "remoteWrite.retryMaxInterval", family: ofVMAgent, group: group, perURL: true, arg: "duration", def: formatDuration(retryMax), setting: "the longest pause between retries", value: &l.retryMax,
			help: "Longest pause after a request that failed."},
		{name: "remoteWrite.retryMaxTime", family: ofVMAgent, group: group, perURL: true, arg: "duration", def: formatDuration(retryMax), setting: "the longest pause between retries", value: &l.retryMax,
			help: "Old name of -remoteWrite.retryMaxInterval."},
		{name: "storage.remote.flush-deadline", family: ofPrometheus, group: group, arg: "duration", value: durationValue{&s.FlushDeadline},
			help: "How long sending may take when the process is told to stop."},
		{name: "remoteWrite.headers", family: ofVMAgent, group: group, perURL: true, arg: "headers", secret: true, value: &l.headers,
			help: "Headers of requests: 'name:value', several joined by '^^'."},
		{name: "remoteWrite.basicAuth.username", family: ofVMAgent, group: group, perURL: true, arg: "name", value: &l.username,
			help: "User of basic authentication."},
		{name: "remoteWrite.basicAuth.password", family: ofVMAgent, group: group, perURL: true, arg: "secret", secret: true, value: &l.password,
			help: "Password of basic authentication. Quote one that holds a comma: '\"pass,word\"'."},
		{name: "remoteWrite.basicAuth.passwordFile", family: ofVMAgent, group: group, perURL: true, arg: "file", value: &l.passwordFile,
			help: "File which holds the password; read again when it changes."},
		{name: "remoteWrite.bearerToken", family: ofVMAgent, group: group, perURL: true, arg: "secret", secret: true, value: &l.bearerToken,
			help: "Bearer token."},
		{name: "remoteWrite.bearerTokenFile", family: ofVMAgent, group: group, perURL: true, arg: "file", value: &l.bearerTokenFile,
			help: "File which holds the bearer token; read again when it changes."},
		{name: "remoteWrite.oauth2.clientID", family: ofVMAgent, group: group, perURL: true, arg: "name", value: &l.oauthID,
			help: "Client ID of OAuth2."},
		{name: "remoteWrite.oauth2.clientSecret", family: ofVMAgent, group: group, perURL: true, arg: "secret", secret: true, value: &l.oauthSecret,
			help: "Client secret of OAuth2."},
		{name: "remoteWrite.oauth2.clientSecretFile", family: ofVMAgent, group: group, perURL: true, arg: "file", value: &l.oauthSecretFile,
			help: "File which holds the client secret; read again when it changes."},
		{name: "remoteWrite.oauth2.tokenUrl", family: ofVMAgent, group: group, perURL: true, arg: "URL", secret: true, value: &l.oauthURL,
			help: "Where tokens are fetched."},
		{name: "remoteWrite.oauth2.scopes", family: ofVMAgent, group: group, perURL: true, arg: "scopes", value: &l.oauthScopes,
			help: "Scopes to ask for, joined by ';'."},
		{name: "remoteWrite.oauth2.endpointParams", family: ofVMAgent, group: group, perURL: true, arg: "JSON", secret: true, value: &l.oauthParams,
			help: "Parameters of the request for a token: '{\"name\":\"value\"}'."},
		{name: "remoteWrite.proxyURL", family: ofVMAgent, group: group, perURL: true, arg: "URL", secret: true, value: &l.proxyURL,
			help: "Proxy to send through: http://, https:// or socks5://."},
		{name: "remoteWrite.tlsCAFile", family: ofVMAgent, group: group, perURL: true, arg: "file", value: &l.tlsCA,
			help: "Certificates that servers are checked against, instead of the system's."},
		{name: "remoteWrite.tlsCertFile", family: ofVMAgent, group: group, perURL: true, arg: "file", value: &l.tlsClientCert,
			help: "Client certificate."},
		{name: "remoteWrite.tlsKeyFile", family: ofVMAgent, group: group, perURL: true, arg: "file", value: &l.tlsClientKey,
			help: "Key of the client certificate."},
		{name: "remoteWrite.tlsServerName", family: ofVMAgent, group: group, perURL: true, arg: "name", value: &l.tlsServerName,
			help: "Name that the server's certificate must have, instead of the URL's host."},
		{name: "remoteWrite.tlsInsecureSkipVerify", family: ofVMAgent, group: group, perURL: true, value: &l.tlsInsecure,
			help: "Accept any certificate."},
	}
}

func httpFlags(s *Settings, l *lists) []*flagDef {
	const group = "HTTP server"
	return []*flagDef{
		{name: "httpListenAddr", family: ofVMAgent, group: group, arg: "address", def: vmagentListen, setting: "the listen address", demo: true, value: &l.listen,
			help: "Address of the pages, /metrics and /-/reload. May be a list; an empty value serves nothing."},
		{name: "web.listen-address", family: ofPrometheus, group: group, arg: "address", def: prometheusListen, setting: "the listen address", repeated: true, value: &l.listen,
			help: "As -httpListenAddr."},
		{name: "web.enable-lifecycle", family: ofPrometheus, group: group, value: boolValue{&l.lifecycle},
			help: "Answer /-/reload and /-/quit. Without it they are forbidden when Scraper is started with --config.file."},
		{name: "web.external-url", family: ofPrometheus, group: group, arg: "URL", value: stringValue{&s.ExternalURL},
			help: "URL which users reach the pages by. They are served without its path."},
		{name: "tls", family: ofVMAgent, group: group, value: &l.tls,
			help: "Serve HTTPS at the corresponding -httpListenAddr. Needs -tlsCertFile and -tlsKeyFile."},
		{name: "tlsCertFile", family: ofVMAgent, group: group, arg: "file", value: &l.tlsCert,
			help: "Certificate; read again when it changes."},
		{name: "tlsKeyFile", family: ofVMAgent, group: group, arg: "file", value: &l.tlsKey,
			help: "Key of the certificate; read again when it changes."},
		{name: "httpAuth.username", family: ofVMAgent, group: group, arg: "name", value: stringValue{&s.HTTPUsername},
			help: "User of basic authentication; none is asked for when it is empty."},
		{name: "httpAuth.password", family: ofVMAgent, group: group, arg: "secret", secret: true, value: secretValue{&s.HTTPPassword},
			help: "Password of basic authentication. This and the keys below may be file:///path/to/file."},
		{name: "reloadAuthKey", family: ofVMAgent, group: group, arg: "secret", secret: true, value: secretValue{&s.AuthKeys.Reload},
			help: "Key of /-/reload. A key replaces basic authentication; without both only this machine may."},
		{name: "configAuthKey", family: ofVMAgent, group: group, arg: "secret", secret: true, value: secretValue{&s.AuthKeys.Config},
			help: "Key of /config."},
		{name: "flagsAuthKey", family: ofVMAgent, group: group, arg: "secret", secret: true, value: secretValue{&s.AuthKeys.Flags},
			help: "Key of /flags."},
		{name: "metricsAuthKey", family: ofVMAgent, group: group, arg: "secret", secret: true, value: secretValue{&s.AuthKeys.Metrics},
			help: "Key of /metrics."},
		{name: "pprofAuthKey", family: ofVMAgent, group: group, arg: "secret", secret: true, value: secretValue{&s.AuthKeys.Pprof},
			help: "Key of /debug/pprof/. Without it and basic authentication only this machine may."},
	}
}

func processFlags(s *Settings, l *lists) []*flagDef {
	setLevel := func(word string) { s.setLogLevel(l, word) }
	setFormat := func(word string) { s.setLogFormat(l, word) }
	return []*flagDef{
		{name: "loggerLevel", family: ofVMAgent, group: "Logging", arg: "level", setting: "the log level", demo: true,
			value: enumValue{[]string{"DEBUG", "INFO", "WARN", "ERROR", "FATAL", "PANIC"}, &l.logLevel, setLevel},
			help:  "Least severe messages to log: DEBUG, INFO, WARN, ERROR, FATAL or PANIC."},
		{name: "log.level", family: ofPrometheus, group: "Logging", arg: "level", setting: "the log level",
			value: enumValue{[]string{"debug", "info", "warn", "error"}, &l.promLogLevel, setLevel},
			help:  "As -loggerLevel: debug, info, warn or error."},
		{name: "loggerFormat", family: ofVMAgent, group: "Logging", arg: "format", setting: "the log format", demo: true,
			value: enumValue{[]string{"text", "json", "default"}, &l.format, setFormat},
			help:  "Format of log lines: text or json. vmagent's default is text."},
		{name: "log.format", family: ofPrometheus, group: "Logging", arg: "format", setting: "the log format",
			value: enumValue{[]string{"logfmt", "json"}, &l.logFormat, setFormat},
			help:  "As -loggerFormat: logfmt or json."},

		{name: "memory.limit", family: ofScraper, group: "Memory", arg: "size", demo: true, value: sizeValue{&s.MemoryLimitBytes, 0},
			help: "Memory that the process may use, all in all. GOMEMLIMIT, the container's limit and its memory.high count as well: the smallest holds. 0 means the smallest of the others."},
		{name: "maxProcs", family: ofScraper, group: "Memory", arg: "number", demo: true, value: intValue{&s.MaxProcs, 0},
			help: "Most CPUs to use at a time: each has caches that cost memory. 0 means all."},

		{name: "envflag.enable", family: ofVMAgent, group: "Other", value: boolValue{&l.envEnable},
			help: "Take flags which are not on the command line from environment variables of the same name, with _ for dots: remoteWrite_url."},
		{name: "envflag.prefix", family: ofVMAgent, group: "Other", arg: "prefix", value: stringValue{&l.envPrefix},
			help: "What the names of those variables begin with."},
		{name: "secret.flags", family: ofVMAgent, group: "Other", arg: "names", value: &l.secretFlags,
			help: "Flags whose values are shown as \"secret\" on /flags, beside passwords, keys and URLs."},
		{name: "enable-feature", family: ofPrometheus, group: "Other", arg: "names", repeated: true, value: &l.features,
			help: "Names of Prometheus' features. Those which change nothing for an agent are accepted."},
		{name: "version", family: ofVMAgent, group: "Other", demo: true, value: boolValue{&s.ShowVersion},
			help: "Print the version and exit."},
		{name: "help", family: ofVMAgent, group: "Other", demo: true, value: boolValue{&s.ShowHelp},
			help: "Print this text and exit."},
	}
}

// setLogLevel takes a word of either family. Nothing that we log is above ERROR.
func (s *Settings) setLogLevel(l *lists, word string) {
	l.logLevel, l.promLogLevel = strings.ToUpper(word), strings.ToLower(word)
	switch l.logLevel {
	case "DEBUG":
		s.LogLevel = slog.LevelDebug
	case "INFO":
		s.LogLevel = slog.LevelInfo
	case "WARN":
		s.LogLevel = slog.LevelWarn
	case "ERROR":
		s.LogLevel = slog.LevelError
	default:
		s.LogLevel = slog.LevelError + 4
	}
}

func (s *Settings) setLogFormat(l *lists, word string) {
	s.LogFormat, l.format, l.logFormat = "text", "text", "logfmt"
	if word == "json" {
		s.LogFormat, l.format, l.logFormat = "json", "json", "json"
	}
}
