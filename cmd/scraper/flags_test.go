package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scraper/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// parse parses a command line in an environment of "NAME=value" strings.
func parse(args []string, env ...string) (*Settings, []string, error) {
	return parseFlags(args, func(name string) (string, bool) {
		for _, e := range env {
			if n, v, _ := strings.Cut(e, "="); n == name {
				return v, true
			}
		}
		return "", false
	})
}

// mustParse is parse of a line split at blanks, which must be good and cause no warning.
func mustParse(t *testing.T, line string, env ...string) *Settings {
	t.Helper()
	s, warnings, err := parse(strings.Fields(line), env...)
	if err != nil {
		t.Fatalf("parseFlags(%s) = %v", line, err)
	}
	if len(warnings) > 0 {
		t.Errorf("parseFlags(%s) warns %q, want nothing", line, warnings)
	}
	return s
}

func TestDefaultsAsVMAgent(t *testing.T) {
	s := mustParse(t, "-promscrape.config=f.yml")
	s.effective = nil
	want := &Settings{
		Dialect:           config.VMAgent,
		DialectWhy:        "-promscrape.config",
		ConfigFile:        "f.yml",
		MaxScrapeBytes:    1 << 30,
		MaxLineBytes:      1 << 20,
		MaxBatchDisk:      1 << 30,
		Metadata:          true,
		FileCheckInterval: time.Minute,
		DataPath:          "scraper-remotewrite-data",
		FlushInterval:     time.Second,
		MaxBlockBytes:     8 << 20,
		MaxRowsPerBlock:   10000,
		FlushDeadline:     4 * time.Second,
		Listen:            []Listen{{Addr: ":8429"}},
		EnableLifecycle:   true,
		LogFormat:         "text",
		MaxProcs:          4,
	}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(Settings{}, Secret{})); diff != "" {
		t.Errorf("settings differ (-want +got):\n%s", diff)
	}
}

func TestDefaultsAsPrometheus(t *testing.T) {
	s := mustParse(t, "--config.file=p.yml --agent")
	if s.Dialect != config.Prometheus || s.ConfigFile != "p.yml" || s.DialectWhy != "--config.file" {
		t.Errorf("dialect, file, why = %v, %q, %q, want Prometheus, p.yml, --config.file", s.Dialect, s.ConfigFile, s.DialectWhy)
	}
	if got, want := s.Listen, []Listen{{Addr: "0.0.0.0:9090"}}; !slices.Equal(got, want) {
		t.Errorf("Listen = %v, want %v", got, want)
	}
	if s.DataPath != "data-agent/" {
		t.Errorf("DataPath = %q, want data-agent/", s.DataPath)
	}
	if s.EnableLifecycle {
		t.Error("EnableLifecycle = true, want false without --web.enable-lifecycle")
	}
	if s := mustParse(t, "--agent"); s.ConfigFile != "prometheus.yml" || s.Dialect != config.Prometheus {
		t.Errorf("--agent alone: file %q in dialect %v, want prometheus.yml in Prometheus'", s.ConfigFile, s.Dialect)
	}
}

// TestSyntax has a line per way to write a flag, and what it means.
func TestSyntax(t *testing.T) {
	const vm, prom = "-promscrape.config=f ", "--config.file=f "
	tests := []struct {
		line string
		get  func(s *Settings) any
		want any
	}{
		{"-promscrape.config f", func(s *Settings) any { return s.ConfigFile }, "f"},
		{"--promscrape.config f", func(s *Settings) any { return s.ConfigFile }, "f"},
		{"--promscrape.config=f", func(s *Settings) any { return s.ConfigFile }, "f"},
		{"--config.file f", func(s *Settings) any { return s.ConfigFile }, "f"},
		{"--config.file=a=b", func(s *Settings) any { return s.ConfigFile }, "a=b"},
		{vm + "-dryRun", func(s *Settings) any { return s.DryRun }, true},
		{vm + "-dryRun=true", func(s *Settings) any { return s.DryRun }, true},
		{vm + "-dryRun=0", func(s *Settings) any { return s.DryRun }, false},
		{vm + "-promscrape.config.dryRun", func(s *Settings) any { return s.ConfigDryRun }, true},
		{prom + "--web.enable-lifecycle", func(s *Settings) any { return s.EnableLifecycle }, true},
		{prom + "--no-web.enable-lifecycle", func(s *Settings) any { return s.EnableLifecycle }, false},
		{prom + "--web.enable-lifecycle=true", func(s *Settings) any { return s.EnableLifecycle }, true},
		{prom + "--no-agent", func(s *Settings) any { return s.ConfigFile }, "f"},
		{prom + "--", func(s *Settings) any { return s.ConfigFile }, "f"},

		{vm + "-promscrape.maxScrapeSize=16MiB", func(s *Settings) any { return s.MaxScrapeBytes }, int64(16 << 20)},
		{vm + "-promscrape.maxScrapeSize=16MB", func(s *Settings) any { return s.MaxScrapeBytes }, int64(16e6)},
		{vm + "-promscrape.maxLineSize=256KiB", func(s *Settings) any { return s.MaxLineBytes }, int64(256 << 10)},
		{vm + "-promscrape.fileSDCheckInterval=30", func(s *Settings) any { return s.FileCheckInterval }, 30 * time.Second},
		{vm + "-promscrape.fileSDCheckInterval=1h30m", func(s *Settings) any { return s.FileCheckInterval }, 90 * time.Minute},
		{vm + "-promscrape.cluster.name=c", func(s *Settings) any { return s.ClusterName }, "c"},
		{vm + "-remoteWrite.flushInterval=500ms", func(s *Settings) any { return s.FlushInterval }, 500 * time.Millisecond},
		{vm + "-remoteWrite.maxBlockSize=1MiB", func(s *Settings) any { return s.MaxBlockBytes }, int64(1 << 20)},
		{vm + "-remoteWrite.maxRowsPerBlock=5", func(s *Settings) any { return s.MaxRowsPerBlock }, 5},
		{vm + "-maxProcs=2", func(s *Settings) any { return s.MaxProcs }, 2},
		{vm + "-maxProcs=2 -maxProcs=3", func(s *Settings) any { return s.MaxProcs }, 3},
		{vm + "-memory.limit=128MiB", func(s *Settings) any { return s.MemoryLimitBytes }, int64(128 << 20)},
		{prom + "--storage.remote.flush-deadline=1m", func(s *Settings) any { return s.FlushDeadline }, time.Minute},
		{prom + "--web.external-url=http://x/", func(s *Settings) any { return s.ExternalURL }, "http://x/"},

		{vm + "-remoteWrite.tmpDataPath=d", func(s *Settings) any { return s.DataPath }, "d"},
		{prom + "--storage.agent.path=d", func(s *Settings) any { return s.DataPath }, "d"},
		{prom + "-remoteWrite.tmpDataPath=d", func(s *Settings) any { return s.DataPath }, "d"},
		{vm + "-loggerLevel=WARN", func(s *Settings) any { return s.LogLevel }, slog.LevelWarn},
		{vm + "-loggerLevel=warn", func(s *Settings) any { return s.LogLevel }, slog.LevelWarn},
		{vm + "-loggerLevel=PANIC", func(s *Settings) any { return s.LogLevel > slog.LevelError }, true},
		{prom + "--log.level=debug", func(s *Settings) any { return s.LogLevel }, slog.LevelDebug},
		{vm + "-loggerFormat=default", func(s *Settings) any { return s.LogFormat }, "text"},
		{vm + "-loggerFormat=json", func(s *Settings) any { return s.LogFormat }, "json"},
		{prom + "--log.format=logfmt", func(s *Settings) any { return s.LogFormat }, "text"},
		{prom + "--log.format=json", func(s *Settings) any { return s.LogFormat }, "json"},
		{prom + "--enable-feature=agent,st-storage", func(s *Settings) any { return s.StartTimestamps && s.ProtobufFirst }, true},
		{prom + "-promscrape.startTimestamps", func(s *Settings) any { return s.StartTimestamps && !s.ProtobufFirst }, true},
		{prom + "--enable-feature=agent,agent --enable-feature=agent", func(s *Settings) any { return s.ConfigFile }, "f"},

		{vm + "-httpListenAddr=127.0.0.1:1", func(s *Settings) any { return s.Listen }, []Listen{{Addr: "127.0.0.1:1"}}},
		{vm + "-httpListenAddr=", func(s *Settings) any { return s.Listen }, []Listen(nil)},
		{vm + "-httpListenAddr=:1,:2", func(s *Settings) any { return s.Listen }, []Listen{{Addr: ":1"}, {Addr: ":2"}}},
		{prom + "--web.listen-address=:1 --web.listen-address=:2", func(s *Settings) any { return s.Listen }, []Listen{{Addr: ":1"}, {Addr: ":2"}}},
		{prom + "-httpListenAddr=:1", func(s *Settings) any { return s.Listen }, []Listen{{Addr: ":1"}}},
		{
			vm + "-httpListenAddr=:1,:2 -tls=true,false -tlsCertFile=c -tlsKeyFile=k,",
			func(s *Settings) any { return s.Listen[0] }, Listen{":1", "c", "k"},
		},

		{prom + "-promscrape.dialect=vmagent", func(s *Settings) any { return s.Dialect }, config.VMAgent},
		{vm + "-promscrape.dialect=prometheus", func(s *Settings) any { return s.Dialect }, config.Prometheus},
		{vm + "-promscrape.dialect=prometheus", func(s *Settings) any { return s.Listen[0].Addr }, ":8429"},
		{vm + "-promscrape.dialect=prometheus", func(s *Settings) any { return s.EnableLifecycle }, true},

		{vm + "-remoteWrite.url=http://a/,http://b/ -remoteWrite.maxDiskUsagePerURL=1GiB,2GB",
			func(s *Settings) any {
				return []int64{s.RemoteWrite[0].MaxDiskBytes, s.RemoteWrite[1].MaxDiskBytes, s.MaxDiskBytes}
			}, []int64{1 << 30, 2e9, 0}},
		{vm + "-remoteWrite.url=http://a/ -remoteWrite.maxDiskUsagePerURL=1GiB", func(s *Settings) any { return []int64{s.RemoteWrite[0].MaxDiskBytes, s.MaxDiskBytes} }, []int64{1 << 30, 1 << 30}},
		{vm + "-remoteWrite.url=http://a/ -remoteWrite.disableOnDiskQueue", func(s *Settings) any { return []bool{s.RemoteWrite[0].MemoryQueue, s.MemoryQueue} }, []bool{true, true}},
		{vm + "-remoteWrite.url=http://a/,http://b/ -remoteWrite.disableOnDiskQueue=false,true",
			func(s *Settings) any {
				return []bool{s.RemoteWrite[0].MemoryQueue, s.RemoteWrite[1].MemoryQueue, s.MemoryQueue}
			}, []bool{false, true, false}},
		{vm + "-remoteWrite.url=http://a/,http://b/,http://c/ -remoteWrite.queues=1,,3 -remoteWrite.name=x,,z",
			func(s *Settings) any {
				var got []string
				for _, u := range s.RemoteWrite {
					got = append(got, fmt.Sprint(u.Name, u.Queues))
				}
				return got
			}, []string{"x1", "0", "z3"}},
		{vm + "-remoteWrite.url=http://a/,http://b/ -remoteWrite.queues=2 -remoteWrite.name=x",
			func(s *Settings) any {
				return []any{s.RemoteWrite[0].Name, s.RemoteWrite[1].Name, s.RemoteWrite[0].Queues, s.RemoteWrite[1].Queues}
			}, []any{"x", "", 2, 2}},
		{vm + "-remoteWrite.maxBlockAge=3d", func(s *Settings) any { return s.MaxBlockAge }, 72 * time.Hour},
		{vm + "-remoteWrite.maxBlockAge=0", func(s *Settings) any { return s.MaxBlockAge }, time.Duration(0)},
		{vm + "-remoteWrite.keepDanglingQueues", func(s *Settings) any { return s.KeepDanglingQueues }, true},
		{"queue verify data", func(s *Settings) any { return []string{s.Command, s.QueueVerb, s.QueueDir} }, []string{"queue", "verify", "data"}},

		{"demo", func(s *Settings) any { return s.Command }, "demo"},
		{"demo -httpListenAddr=:1", func(s *Settings) any { return s.Listen }, []Listen{{Addr: ":1"}}},
		{"demo", func(s *Settings) any { return s.Listen }, []Listen{{Addr: ":8429"}}},
		{"-help -no.such.flag", func(s *Settings) any { return s.ShowHelp }, true},
		{"-h", func(s *Settings) any { return s.ShowHelp }, true},
		{"--version", func(s *Settings) any { return s.ShowVersion }, true},
	}
	for _, test := range tests {
		s, _, err := parse(strings.Fields(test.line))
		if err != nil {
			t.Errorf("parseFlags(%s) = %v", test.line, err)
			continue
		}
		if got := test.get(s); !reflect.DeepEqual(got, test.want) {
			t.Errorf("parseFlags(%s) gives %v, want %v", test.line, got, test.want)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	const vm, prom = "-promscrape.config=f ", "--config.file=f "
	tests := []struct{ line, want string }{
		{"", "-promscrape.config or --config.file is required"},
		{"-promscrape.config=f --config.file=g", "both given"},
		{vm + "-remoteWrite.url=http://a/,http://b/ -remoteWrite.name=x,x", `-remoteWrite.name="x" is given twice`},
		{vm + "-remoteWrite.url=http://a/ -remoteWrite.name=x,y", "-remoteWrite.name is given 2 times for 1 -remoteWrite.url"},
		{vm + "-remoteWrite.url=http://a/ -remoteWrite.queues=x", "want a whole number"},
		{vm + "-remoteWrite.url=http://a/ -remoteWrite.maxBlockSize=1GiB", "want 128MiB or less"},
		{vm + "-remoteWrite.url=http://a/ -remoteWrite.vmProtoCompressLevel=23", "want -22 to 22"},
		{"queue", "want scraper queue inspect DIR"},
		{"queue inspect", "want scraper queue inspect DIR"},
		{"queue repair x", "want scraper queue inspect DIR"},
		{"relabel x", `unknown command "relabel"`},
		{"demo -promscrape.config=f", "-promscrape.config is no flag of scraper demo"},
		{"demo -http.connTimeout=1s", "-http.connTimeout is no flag of scraper demo"},
		{vm + "x", `unexpected argument "x"`},
		{vm + "-", `unexpected argument "-"`},
		{vm + "---x", `unexpected argument "---x"`},
		{vm + "-=x", `unexpected argument "-=x"`},
		{vm + "-- x", `unexpected argument "--"`},
		{vm + "-tls true", "write -tls=true"},
		{vm + "-remoteWrite.url", "-remoteWrite.url needs a value"},
		{vm + "-http.connTimeout", "-http.connTimeout needs a value"},
		{vm + "-remotewrite.url=x", "unknown flag -remotewrite.url; did you mean -remoteWrite.url?"},
		{vm + "-remoteWrite.ulr=x", "did you mean -remoteWrite.url?"},
		{"--config.fil=x", "unknown flag --config.fil; did you mean --config.file?"},
		{vm + "-http.conTimeout=1s", "did you mean -http.connTimeout?"},
		{vm + "-quite.something.else", "unknown flag -quite.something.else; -help lists all"},
		{vm + "--no-dryRun", "unknown flag --no-dryRun"},
		{prom + "--no-agent=true", "--no-agent takes no value"},
		{prom + "--config.file=g", "--config.file is given twice"},
		{prom + "--no-config.file", "unknown flag --no-config.file"},

		{vm + "-dryRun=maybe", `-dryRun="maybe": want true or false`},
		{vm + "-promscrape.maxScrapeSize=10XB", `-promscrape.maxScrapeSize="10XB": want a number of bytes`},
		{vm + "-promscrape.maxScrapeSize=-1", `-promscrape.maxScrapeSize="-1": want a number of bytes`},
		{vm + "-promscrape.maxScrapeSize=0", `want 1 or more`},
		{vm + "-promscrape.maxLineSize=1", `want 1KiB or more`},
		{vm + "-promscrape.fileSDCheckInterval=soon", `-promscrape.fileSDCheckInterval="soon": want a duration`},
		{vm + "-promscrape.fileSDCheckInterval=0s", `want more than 0`},
		{vm + "-promscrape.fileSDCheckInterval=-1s", `want a duration`},
		{vm + "-maxProcs=x", `-maxProcs="x": want a whole number`},
		{vm + "-maxProcs=-1", `want 0 or more`},
		{vm + "-loggerLevel=LOUD", `-loggerLevel="LOUD": want one of DEBUG, INFO`},
		{prom + "--log.format=xml", `--log.format="xml": want one of logfmt, json`},
		{vm + "-promscrape.dialect=x", "want one of vmagent, prometheus"},

		{vm + "-httpListenAddr=:1 --web.listen-address=:2", "both set the listen address"},
		{prom + "--storage.agent.path=a -remoteWrite.tmpDataPath=b", "both set the data path"},
		{vm + "-loggerLevel=INFO --log.level=info", "both set the log level"},
		{vm + "-loggerFormat=json --log.format=json", "both set the log format"},
		{vm + "-remoteWrite.retryMaxTime=1s -remoteWrite.retryMaxInterval=1s", "both set the longest pause"},

		{vm + "-tls", "-tls needs -tlsCertFile and -tlsKeyFile"},
		{vm + "-httpAuth.password=p", "-httpAuth.password without -httpAuth.username"},
		{vm + "-httpAuth.password=http://host/p", "-httpAuth.password=(hidden): secrets are not read from URLs"},
		{vm + "-reloadAuthKey=file://", "-reloadAuthKey=(hidden): file:// names no file"},
		{prom + "--web.external-url=http://[", "--web.external-url"},

		{vm + "-remoteWrite.url=ftp://u:geheim@h/", "-remoteWrite.url number 1: it must begin with http:// or https://"},
		{vm + "-remoteWrite.url=http://a,http://u:geheim@", "-remoteWrite.url number 2: it has no host"},
		{vm + "-remoteWrite.url=http://%zz", "-remoteWrite.url number 1: it is no valid URL"},
		{vm + "-remoteWrite.url=http://u:geheim@%{NO_SUCH_HOST}/", "-remoteWrite.url number 1: it is no valid URL, with %{NO_SUCH_HOST}: there is no such environment variable"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.url=http://b,http://a", "-remoteWrite.url number 3 is the same as number 1"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.headers=geheim", "-remoteWrite.headers for -remoteWrite.url number 1: want name:value"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.headers=a:geheim^^a:geheim", "a is given twice"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.basicAuth.password=geheim", "needs -remoteWrite.basicAuth.username"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.basicAuth.username=u -remoteWrite.bearerToken=geheim", "both given"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.bearerToken=geheim -remoteWrite.bearerTokenFile=f", "-remoteWrite.bearerToken and -remoteWrite.bearerTokenFile are both given"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.tlsCertFile=f", "-remoteWrite.tlsCertFile and -remoteWrite.tlsKeyFile need each other"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.retryMinInterval=2m", "-remoteWrite.retryMinInterval=2m is more than -remoteWrite.retryMaxInterval=1m"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.urlRelabelConfig=a,b", "-remoteWrite.urlRelabelConfig is given 2 times for 1 -remoteWrite.url"},
		{vm + "-remoteWrite.label=x", `-remoteWrite.label="x": want name=value`},
		{vm + "-remoteWrite.protocol=3.0", `-remoteWrite.protocol="3.0": want one of auto, 1.0, 2.0, vm`},
		{vm + "-remoteWrite.forcePromProto -remoteWrite.forceVMProto", "-remoteWrite.forceVMProto is given for -remoteWrite.url number 1, and so is the protocol 1.0"},
		{vm + "-remoteWrite.forcePromProto -remoteWrite.protocol=2.0", "give one of them"},
		{vm + "-remoteWrite.onRefused=never", `-remoteWrite.onRefused="never": want one of split, drop`},
		{vm + "-remoteWrite.onAuthError=split", "want one of retry, drop"},
		{vm + "-remoteWrite.rateLimit=fast", "want a number of bytes"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.proxyURL=ftp://u:geheim@p", "-remoteWrite.proxyURL for -remoteWrite.url number 1: want http://"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.oauth2.clientSecret=geheim", "-remoteWrite.oauth2 needs clientID"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.oauth2.clientID=i -remoteWrite.oauth2.clientSecret=geheim -remoteWrite.oauth2.tokenUrl=x://geheim", "-remoteWrite.oauth2.tokenUrl for -remoteWrite.url number 1: it must begin with"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.oauth2.clientID=i -remoteWrite.oauth2.clientSecret=geheim -remoteWrite.oauth2.tokenUrl=http://t -remoteWrite.oauth2.endpointParams=geheim", "endpointParams for -remoteWrite.url number 1: want a JSON object"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.oauth2.clientID=i -remoteWrite.oauth2.clientSecret=geheim -remoteWrite.oauth2.tokenUrl=http://t -remoteWrite.bearerToken=geheim", "another kind of authentication"},
		{vm + "-remoteWrite.sendTimeout=x", `-remoteWrite.sendTimeout="x": want a duration`},
		{vm + "-remoteWrite.tlsInsecureSkipVerify=true,x", "want true or false"},

		{prom + "--enable-feature=type-and-unit-labels", "--enable-feature=type-and-unit-labels is refused"},
		{prom + "--enable-feature=agent,nonsense", "--enable-feature=nonsense"},
	}
	for _, test := range tests {
		s, _, err := parse(strings.Fields(test.line))
		if err == nil {
			t.Errorf("parseFlags(%s) = nil error, %+v, want one with %q", test.line, s, test.want)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("parseFlags(%s) = %q, want it to say %q", test.line, err, test.want)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("parseFlags(%s) = %q, want one line", test.line, err)
		}
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("parseFlags(%s) = %q, which shows a secret", test.line, err)
		}
		if _, ok := errors.AsType[*usageError](err); !ok {
			t.Errorf("parseFlags(%s) is a %T, want a *usageError", test.line, err)
		}
	}
}

func TestForeignFlags(t *testing.T) {
	const vm, prom = "-promscrape.config=f ", "--config.file=f "
	const refused = "is refused: "
	tests := []struct{ line, want string }{ // want is in the warning or, if it says so, the error
		{vm + "-http.connTimeout=1s", "-http.connTimeout has no effect: "},
		{vm + "-http.connTimeout 1s", "-http.connTimeout has no effect: "},
		{vm + "-sortLabels", "-sortLabels has no effect: "},
		{vm + "-sortLabels -sortLabels", "-sortLabels has no effect: "},
		{vm + "-remoteWrite.queues=8", "-remoteWrite.queues of more than 4 has the effect of 4: "},
		{vm + "-promscrape.streamParse=true", "-promscrape.streamParse has no effect: "},
		{vm + "-memory.allowedPercent=40", "-memory.limit"},
		{vm + "-promscrape.noStaleMarkers", "-promscrape.noStaleMarkers " + refused},
		{vm + "-promscrape.noStaleMarkers=false", "-promscrape.noStaleMarkers has no effect: it asks for what Scraper does anyway"},
		{vm + "-remoteWrite.obfuscateLabels=a", "-remoteWrite.obfuscateLabels " + refused},
		{vm + "-remoteWrite.shardByURL=true", "-remoteWrite.shardByURL " + refused},
		{vm + "-remoteWrite.aws.useSigv4=false,true", "-remoteWrite.aws.useSigv4 " + refused},
		{vm + "-remoteWrite.aws.useSigv4=false,false", "-remoteWrite.aws.useSigv4 has no effect"},
		{vm + "-promscrape.cluster.membersCount=3", "-promscrape.cluster.membersCount " + refused},
		{vm + "-promscrape.cluster.membersCount=1", "-promscrape.cluster.membersCount has no effect"},
		{vm + "-remoteWrite.roundDigits=100,100", "-remoteWrite.roundDigits has no effect"},
		{vm + "-remoteWrite.roundDigits=100,3", "-remoteWrite.roundDigits " + refused},
		{vm + "-graphiteListenAddr=:2003", "-graphiteListenAddr " + refused},
		{vm + "-graphiteListenAddr=", "-graphiteListenAddr has no effect"},
		{vm + "-promscrape.configCheckInterval=1m", "/-/reload"},
		{vm + "-tlsMinVersion=TLS12", "-tlsMinVersion has no effect"},
		{vm + "-tlsMinVersion=TLS13", "-tlsMinVersion " + refused},
		{prom + "--storage.agent.wal-compression", "--storage.agent.wal-compression has no effect: "},
		{prom + "--no-storage.agent.wal-compression", "--storage.agent.wal-compression has no effect: "},
		{prom + "--storage.tsdb.path=/data", "--storage.tsdb.path has no effect: "},
		{prom + "--query.max-samples 5", "--query.max-samples has no effect: "},
		{prom + "--web.config.file=w", "--web.config.file " + refused},
		{prom + "--web.enable-remote-write-receiver", "--web.enable-remote-write-receiver " + refused},
		{prom + "--scrape.adjust-timestamps", "--scrape.adjust-timestamps has no effect: it asks for what"},
		{prom + "--no-scrape.adjust-timestamps", "--scrape.adjust-timestamps " + refused},
		{prom + "--web.route-prefix=/", "--web.route-prefix has no effect"},
		{prom + "--web.route-prefix=/x", "--web.route-prefix " + refused},
		{prom + "--enable-feature=native-histograms", "has no effect: scrape_native_histograms"},
		{prom + "--enable-feature=created-timestamp-zero-ingestion", "start timestamps are sent in remote write 2.0"},
		{prom + "--enable-feature=exemplar-storage", "--enable-feature=exemplar-storage has no effect"},
		{prom + "--web.external-url=http://x/prom", "without the path of --web.external-url"},
		{vm + "-http.connTimeout=%{X}", "-http.connTimeout has no effect"},
		{vm + "-tlsCertFile=c", "no effect without -tls"},
		{vm + "-remoteWrite.url=http://a -remoteWrite.bearerToken=a,b", "-remoteWrite.bearerToken has 2 values for 1 -remoteWrite.url"},
		{vm + "-secret.flags=maxProcs,x", "-secret.flags names x"},
	}
	for _, test := range tests {
		_, warnings, err := parse(strings.Fields(test.line))
		said := strings.Join(warnings, "\n")
		if strings.Contains(test.want, refused) || strings.Contains(test.want, "/-/reload") {
			said = fmt.Sprint(err)
		} else if err != nil || len(warnings) != 1 {
			t.Errorf("parseFlags(%s) = warnings %q, error %v, want one warning", test.line, warnings, err)
		}
		if !strings.Contains(said, test.want) {
			t.Errorf("parseFlags(%s) says %q, want %q", test.line, said, test.want)
		}
	}
}

// The table of foreign flags has each name once, none that is ours, and a reason for all.
func TestForeignTable(t *testing.T) {
	own := make(map[string]bool)
	for _, d := range newFlags(&Settings{}, &lists{}) {
		if own[d.name] {
			t.Errorf("flag %s is there twice", d)
		}
		own[d.name] = true
		if !slices.Contains(helpGroups, d.group) || d.help == "" {
			t.Errorf("flag %s has group %q and help %q", d, d.group, d.help)
		}
	}
	seen := make(map[string]bool)
	for _, g := range foreignGroups() {
		if g.why == "" || strings.HasSuffix(g.why, ".") {
			t.Errorf("group of %s: why = %q, want a clause", g.flags[0], g.why)
		}
		for _, text := range g.flags {
			name, _, _ := strings.Cut(text, "=")
			name = strings.TrimSuffix(name, "?")
			if own[name] || seen[name] {
				t.Errorf("flag %s is there twice", name)
			}
			seen[name] = true
		}
	}
}

func TestRemoteWriteFlags(t *testing.T) {
	s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://a/w,http://b/w -remoteWrite.url=http://c/w?x={1,2} "+
		"-remoteWrite.sendTimeout=10s,,5 -remoteWrite.retryMinInterval=2s -remoteWrite.retryMaxTime=30s,40s "+
		"-remoteWrite.headers=A:1^^B:2:3,C:4 -remoteWrite.basicAuth.username=u,v -remoteWrite.basicAuth.password=\"p,q\",file:///pass "+
		"-remoteWrite.bearerTokenFile=,,tok -remoteWrite.tlsInsecureSkipVerify -remoteWrite.tlsCAFile=ca,'c,b' -remoteWrite.tlsServerName=n")
	want := []RemoteWriteURL{
		{
			URL: "http://a/w", SendTimeout: 10 * time.Second, RetryMin: 2 * time.Second, RetryMax: 30 * time.Second,
			Headers: map[string]string{"A": "1", "B": "2:3"}, Username: "u", Password: "p,q",
			TLSCAFile: "ca", TLSServerName: "n", TLSInsecureSkipVerify: true,
		},
		{
			URL: "http://b/w", SendTimeout: time.Minute, RetryMin: 2 * time.Second, RetryMax: 40 * time.Second,
			Headers: map[string]string{"C": "4"}, Username: "v", PasswordFile: "/pass",
			TLSCAFile: "c,b", TLSServerName: "n", TLSInsecureSkipVerify: true,
		},
		{
			URL: "http://c/w?x={1,2}", SendTimeout: 5 * time.Second, RetryMin: 2 * time.Second, RetryMax: time.Minute,
			BearerTokenFile: "tok", TLSServerName: "n", TLSInsecureSkipVerify: true,
		},
	}
	if diff := cmp.Diff(want, s.RemoteWrite); diff != "" {
		t.Errorf("destinations differ (-want +got):\n%s", diff)
	}
}

func TestEnvironment(t *testing.T) {
	env := []string{
		"promscrape_config=env.yml", "remoteWrite_url=http://env", "maxProcs=1", "http_connTimeout=1s", "dryRun=true",
		"P_promscrape_config=prefixed.yml", "config_file=prom.yml", "log_level=debug", "HOST=h", "DEEP=%{HOST}2",
	}
	if _, _, err := parse(nil, env...); err == nil {
		t.Error("parseFlags without -envflag.enable reads the environment, want it not to")
	}
	s, warnings, err := parse([]string{"-envflag.enable", "-maxProcs=3"}, env...)
	if err != nil {
		t.Fatal(err)
	}
	if s.ConfigFile != "env.yml" || s.MaxProcs != 3 || !s.DryRun || len(s.RemoteWrite) != 1 || s.RemoteWrite[0].URL != "http://env" {
		t.Errorf("settings of the environment = %+v, want its values, and the command line's maxProcs", s)
	}
	if s.LogLevel != slog.LevelInfo || s.Dialect != config.VMAgent {
		t.Errorf("level, dialect = %v, %v: Prometheus' flags came from the environment", s.LogLevel, s.Dialect)
	}
	if want := []string{"environment variable http_connTimeout has no effect"}; len(warnings) != 1 || !strings.HasPrefix(warnings[0], want[0]) {
		t.Errorf("warnings = %q, want %q…", warnings, want)
	}

	s = mustParse(t, "-envflag.enable -envflag.prefix=P_ -maxProcs=3", env...)
	if s.ConfigFile != "prefixed.yml" || len(s.RemoteWrite) != 0 {
		t.Errorf("with a prefix: file %q, %d URLs, want prefixed.yml and none", s.ConfigFile, len(s.RemoteWrite))
	}

	s = mustParse(t, "-promscrape.config=%{HOST}/%{DEEP}/%{NONE}.yml", env...)
	if want := "h/h2/%{NONE}.yml"; s.ConfigFile != want {
		t.Errorf("expanded value = %q, want %q", s.ConfigFile, want)
	}

	// The command line wins where two flags set the same.
	s = mustParse(t, "-envflag.enable --web.listen-address=:1 -promscrape.config=f", "httpListenAddr=:2")
	if s.Listen[0].Addr != ":1" {
		t.Errorf("listen address = %q, want the command line's :1", s.Listen[0].Addr)
	}

	_, _, err = parse([]string{"-envflag.enable", "-promscrape.config=f"}, "maxProcs=many")
	if want := `environment variable maxProcs="many": want a whole number`; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	_, _, err = parse([]string{"-envflag.enable", "-promscrape.config=f"}, "remoteWrite_obfuscateLabels=a")
	if err == nil || !strings.Contains(err.Error(), "environment variable remoteWrite_obfuscateLabels is refused") {
		t.Errorf("error = %v, want remoteWrite_obfuscateLabels refused", err)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://u:geheim@h/geheim -remoteWrite.basicAuth.username=u "+
		"-remoteWrite.basicAuth.password=geheim -remoteWrite.headers=k:geheim -httpAuth.username=u -httpAuth.password=geheim "+
		"-reloadAuthKey=geheim -configAuthKey=geheim -flagsAuthKey=geheim -metricsAuthKey=geheim -pprofAuthKey=geheim "+
		"-promscrape.cluster.name=geheim -secret.flags=promscrape.cluster.name")
	text := flagsText(s)
	if strings.Contains(text, "geheim") {
		t.Errorf("flagsText shows a secret:\n%s", text)
	}
	for _, line := range []string{`-reloadAuthKey="secret"`, `-remoteWrite.url="secret"`, `-remoteWrite.basicAuth.username="u"`,
		`-promscrape.config="f"`, `-promscrape.cluster.name="secret"`, `-remoteWrite.sendTimeout="1m"`, `-maxProcs="4"`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("flagsText lacks %s:\n%s", line, text)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", s.HTTPPassword, s.HTTPPassword, s.HTTPPassword, s.AuthKeys); strings.Contains(got, "geheim") {
		t.Errorf("a Secret prints as %q", got)
	}
	if got, err := s.HTTPPassword.Load(); err != nil || got != "geheim" {
		t.Errorf("Load() = %q, %v, want geheim", got, err)
	}
}

func TestSecretFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	s := mustParse(t, "-promscrape.config=f -reloadAuthKey=file://"+path)
	if _, err := s.AuthKeys.Reload.Load(); err == nil {
		t.Error("Load() of a file which does not exist = nil error")
	}
	for text, want := range map[string]string{"k1\n": "k1", "k2": "k2"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.AuthKeys.Reload.Load(); err != nil || got != want {
			t.Errorf("Load() = %q, %v, want %q", got, err, want)
		}
	}
	if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AuthKeys.Reload.Load(); err == nil {
		t.Error("Load() of an empty file = nil error, which would protect nothing")
	}
	if s.AuthKeys.Config.IsSet() || !s.AuthKeys.Reload.IsSet() {
		t.Error("IsSet() is wrong")
	}
}

// What both families can set is shown by both.
func TestFlagsTextShowsEffectiveValues(t *testing.T) {
	text := flagsText(mustParse(t, "--config.file=f --log.level=warn --log.format=json"))
	for _, line := range []string{`--log.level="warn"`, `-loggerLevel="WARN"`, `-loggerFormat="json"`, `--config.file="f"`,
		`-httpListenAddr="0.0.0.0:9090"`, `--web.listen-address="0.0.0.0:9090"`, `--storage.agent.path="data-agent/"`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("flagsText lacks %s:\n%s", line, text)
		}
	}
}

func TestHelp(t *testing.T) {
	for command, file := range map[string]string{"": "help.golden", "demo": "help_demo.golden"} {
		got := helpText(command)
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("helpText(%q) differs from %s; go test -update writes it anew (-want +got):\n%s", command, path, diff)
		}
		for line := range strings.Lines(got) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 84 {
				t.Errorf("line of %d columns: %s", n, line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	want := "scraper 1.2.3 " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	if got := versionText("1.2.3"); got != want {
		t.Errorf("versionText(1.2.3) = %q, want %q", got, want)
	}
}
