package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	commoncfg "github.com/prometheus/common/config"

	"scraper/config"
	"scraper/relabel"
	"scraper/remotewrite"
)

// Settings is what the command line and the environment ask for, checked and with all defaults filled in, whichever
// front end they were written for. It is immutable once parseFlags has returned it.
type Settings struct {
	// Command is the subcommand: "" to run the agent, "demo" or "queue".
	Command string
	// QueueVerb and QueueDir are what "queue" is to do: inspect or verify, and where.
	QueueVerb, QueueDir string
	// ShowHelp and ShowVersion ask for a text on standard output and exit code 0. Nothing else is checked then.
	ShowHelp, ShowVersion bool

	// Dialect says whose meaning holds where vmagent and Prometheus contradict each other, and DialectWhy why.
	Dialect    config.Dialect
	DialectWhy string

	ConfigFile        string
	ConfigDryRun      bool // check the configuration file, and exit
	DryRun            bool // check all files, and exit
	MaxScrapeBytes    int64
	MaxLineBytes      int64
	MaxBatchBytes     int64 // 0: what the memory budget allows
	MaxBatchDisk      int64
	MaxLabelBytes     int64 // 0: what the memory budget allows
	Metadata          bool  // TYPE, HELP and UNIT are kept and sent
	StartTimestamps   bool  // _created lines are start timestamps
	ProtobufFirst     bool  // targets are asked for protocol buffers first
	FileCheckInterval time.Duration
	ClusterName       string

	RemoteWrite []RemoteWriteURL // in the order of the flags
	// DataPath is the directory which queues lie below.
	DataPath string
	// MaxDiskBytes and MemoryQueue are for the destinations of the configuration file: the same as for all URLs, if that
	// is one value.
	MaxDiskBytes       int64
	MemoryQueue        bool
	MaxBlockAge        time.Duration
	KeepDanglingQueues bool
	// OnRefused and OnAuthError are for them, too.
	OnRefused   remotewrite.RefusedPolicy
	OnAuthError remotewrite.AuthErrorPolicy
	// Protocol is for those of them which do not say it.
	Protocol  remotewrite.Protocol
	ZstdLevel int
	// RelabelFile is for all destinations, "" if there is none; so are Labels, which are set last.
	RelabelFile string
	Labels      []relabel.Label
	ShowURL     bool

	FlushInterval   time.Duration
	MaxBlockBytes   int64
	MaxRowsPerBlock int
	// FlushDeadline bounds what sending may take at the end of the process.
	FlushDeadline time.Duration

	Listen       []Listen // none: nothing is served
	HTTPUsername string
	HTTPPassword Secret
	AuthKeys     AuthKeys
	// EnableLifecycle lets requests reload and, in Prometheus' dialect, quit. Always true when started as vmagent is.
	EnableLifecycle bool
	// ExternalURL is where users reach the pages, "" if that is the listen address.
	ExternalURL string

	LogLevel  slog.Level
	LogFormat string // text or json

	MemoryLimitBytes int64 // 0: what GOMEMLIMIT and the cgroup allow
	MaxProcs         int   // 0: no limit of our own

	effective []flagValue // all flags, sorted by name
}

// RemoteWriteURL is one -remoteWrite.url with what the other flags say about it.
type RemoteWriteURL struct {
	URL                                string
	Name                               string // "": its host and path are its identity
	Queues                             int    // most requests at a time; 0: as many as there can be
	SendTimeout                        time.Duration
	RetryMin, RetryMax                 time.Duration
	Headers                            map[string]string
	Username, Password, PasswordFile   string
	BearerToken, BearerTokenFile       string
	TLSCAFile, TLSCertFile, TLSKeyFile string
	TLSServerName                      string
	TLSInsecureSkipVerify              bool
	MaxDiskBytes                       int64 // 0: no bound
	MemoryQueue                        bool  // nothing on disk
	NoMetadata                         bool  // no TYPE, HELP and UNIT
	RateLimit                          int64 // bytes per second; 0: no limit
	OnRefused                          remotewrite.RefusedPolicy
	OnAuthError                        remotewrite.AuthErrorPolicy
	Protocol                           remotewrite.Protocol
	RelabelFile                        string // "": no rules of its own
	OAuth2                             *commoncfg.OAuth2
	ProxyURL                           *url.URL
}

// Listen is one address to serve pages on. CertFile and KeyFile are set where that is done with TLS.
type Listen struct {
	Addr              string
	CertFile, KeyFile string
}

// AuthKeys protect single pages. A key that is not set protects nothing.
type AuthKeys struct{ Reload, Config, Flags, Metrics, Pprof Secret }

// Secret is a password or key: given, or in a file. It prints as "secret".
type Secret struct{ value, path string }

// IsSet reports whether there is a secret at all.
func (s Secret) IsSet() bool { return s.value != "" || s.path != "" }

// Load returns the secret, "" if it is not set. A file is read at each call, and must not be empty.
func (s Secret) Load() (string, error) {
	if s.path == "" {
		return s.value, nil
	}
	text, err := os.ReadFile(s.path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	value := strings.TrimRightFunc(string(text), unicode.IsSpace)
	if value == "" {
		return "", fmt.Errorf("read secret: %s is empty", s.path)
	}
	return value, nil
}

// String hides the secret from everything that prints.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return "secret"
}

// GoString hides the secret from %#v too.
func (s Secret) GoString() string { return s.String() }
