package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	commoncfg "github.com/prometheus/common/config"

	"scraper/bufpool"
	"scraper/config"
	"scraper/relabel"
	"scraper/snapshots"
)

// Options are the settings of a Writer. The zero value of each means its default.
type Options struct {
	// Destinations are where every committed sample goes, each of them. There may be none yet; see Apply.
	Destinations []Destination
	// Pool is where blocks and their buffers come from. Default: a pool of the Writer's own.
	Pool *bufpool.Pool
	// Logger is told about changes of state: the first failure, the recovery, samples lost. Default: nobody.
	Logger *slog.Logger
	// Metrics are counted into. Default: counters which nobody reads.
	Metrics *Metrics
	// UserAgent is sent with each request. Default: scraper.
	UserAgent string
	// DialContext opens connections. Default: the operating system's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Slots is the number of lanes in which a destination receives blocks at the same time. What has the same
	// batch.Slot stays in order. Default: 4.
	Slots int
	// FlushInterval is how long a sample waits at most for its block to be closed. Default: 1 s.
	FlushInterval time.Duration
	// MaxRowsPerBlock closes a block. Default: 10000.
	MaxRowsPerBlock int
	// MaxBlockBytes is the most that the body of one request holds before compression. Receivers refuse more than
	// their own limit, 32 MiB being the smallest in wide use. Default: 8 MiB.
	MaxBlockBytes int
	// MaxPendingBytes bounds the memory of the blocks which wait for one destination, or for its disk; beyond it the oldest
	// are dropped, and counted. Default: 64 MiB, which is about 2 million samples.
	MaxPendingBytes int64
	// Protocol is what blocks are sent in to destinations which do not say it. Default: ProtocolAuto.
	Protocol Protocol
	// ZstdLevel is how much time compression by zstd takes, in zstd's numbers: below 0 less than by default, from 3 on more.
	ZstdLevel int
	// RelabelCacheBytes bounds what destinations with rules of their own keep of their results, all together, but for 256 KiB
	// which each may keep. None keeps more than 8 MiB. Default: no other bound.
	RelabelCacheBytes int64
	// QueueDir is the directory in which each destination has a directory for what is not sent yet. Blocks are there
	// before they are sent, so that they survive the process. Empty: they wait in memory alone.
	QueueDir string
	// MaxDiskBytes bounds the files of one destination; beyond it the oldest blocks are dropped, and counted. Default:
	// no bound.
	MaxDiskBytes int64
	// MaxBlockAge bounds how long a block waits; older ones are dropped, and counted as expired. Default: no bound.
	MaxBlockAge time.Duration
	// KeepDanglingQueues keeps directories in QueueDir which belong to no destination. Else those which are empty are
	// removed when Run starts, and the others when they were not written to for a day.
	KeepDanglingQueues bool
	// DrainTimeout bounds what Run takes to deliver what is left when it is told to stop, and likewise how long a removed
	// destination lives on. Default: 4 s, so that a process which is told to stop is gone within 5 s.
	DrainTimeout time.Duration
	// Account is told of the memory of each destination which is new; what it returns is called when that is gone. Default:
	// nobody.
	Account func(Account) (remove func())
	// MaxOpenBytes is how much memory an open block may take before it is closed, in bytes: there is one per slot. What is in
	// it beside series (HELP texts, for one) is no part of MaxBlockBytes in every protocol. Default: MaxBlockBytes.
	MaxOpenBytes int
	// Pressed reports whether memory is so short that blocks are to wait on disk only. It is asked for each block, and must
	// be cheap. Default: never.
	Pressed func() bool
	// Short reports whether memory is so short that no more results of rules are to be kept. It is asked for each batch, and
	// must be cheap. Default: never.
	Short func() bool
	// Snapshots follows what reloads replaced, for as long as it is in memory. Nil follows nothing.
	Snapshots *snapshots.Book
}

// Destination is a URL with its options. Destinations are values; a Writer never changes them, and nor may the caller
// change what HTTP, Headers and Relabel refer to.
type Destination struct {
	// Name is the configured name. It is the destination's identity across reloads: what the identity stays the same
	// for keeps its queue. Without a name, the URL's host and path are the identity. It is shown; never a secret.
	Name string
	// Origin is where it is configured, for errors. Default: "destination" and its number.
	Origin string
	// URL is where requests go. It may hold secrets, so it is shown nowhere.
	URL string
	// Headers are sent with each request to the URL's own host.
	Headers map[string]string
	// HTTP configures authentication, TLS, proxy and redirects. Begin with DefaultHTTP; a zero value means DefaultHTTP.
	HTTP commoncfg.HTTPClientConfig
	// Transport replaces what HTTP describes. It must not follow redirects.
	Transport http.RoundTripper
	// Timeout bounds one request, from connecting to the end of the answer. Default: 1 m.
	Timeout time.Duration
	// RetryMin and RetryMax bound the time between a failed request and the next. Default: 1 s and 1 m.
	RetryMin, RetryMax time.Duration
	// OnRefused says what becomes of a block which the receiver refuses with 400, 413 or 422. Default: SplitRefused.
	OnRefused RefusedPolicy
	// OnAuthError says what becomes of a block which is answered by 401, 403 or 404. Default: RetryOnAuthError.
	OnAuthError AuthErrorPolicy
	// RateLimit bounds the bytes of requests per second, compressed. Default: no limit.
	RateLimit int64
	// MinSenders and MaxSenders bound the requests which are on their way at the same time. Default: as many as a backlog
	// needs, from one to Options.Slots, which is also the most that can be.
	MinSenders, MaxSenders int
	// ShowURL lets the destination be shown with its URL, without user, password and query, instead of its host.
	ShowURL bool
	// Relabel are rules for this destination. Its blocks are shared with those which have the same ones.
	Relabel *relabel.Rules

	// These replace the Options of the same name for this destination.
	Protocol        Protocol
	FlushInterval   time.Duration
	MaxRowsPerBlock int
	MaxBlockBytes   int
	MaxPendingBytes int64
	MaxDiskBytes    int64
	MaxBlockAge     time.Duration

	// NoMetadata keeps TYPE, HELP and UNIT from being sent, NoExemplars exemplars, and NoHistograms native histograms,
	// which then are no samples of this destination's.
	NoMetadata, NoExemplars, NoHistograms bool

	// DisableDiskQueue keeps this destination's blocks in memory alone. It takes effect for a destination which is new.
	DisableDiskQueue bool
}

// RefusedPolicy says what becomes of a block which a receiver refuses.
type RefusedPolicy uint8

// The policies.
const (
	SplitRefused RefusedPolicy = iota // it is halved until the refused series stand alone
	DropRefused                       // it is dropped
)

// AuthErrorPolicy says what becomes of a block where a receiver does not let us in, or is not where it should be.
type AuthErrorPolicy uint8

// The policies.
const (
	RetryOnAuthError AuthErrorPolicy = iota // a token that was rotated must not lose data
	DropOnAuthError
)

// DefaultHTTP is the HTTP configuration of a destination about which nothing is said: redirects are followed, and
// HTTP/2 is off, as with Prometheus, since a slot has one request in flight and gains nothing by sharing a connection.
func DefaultHTTP() commoncfg.HTTPClientConfig {
	c := commoncfg.DefaultHTTPClientConfig
	c.EnableHTTP2 = false
	return c
}

// FromConfig returns the destination that one entry of remote_write describes.
func FromConfig(rw *config.RemoteWrite) Destination {
	protocol, _ := ParseProtocol(rw.Protocol) // the configuration has no other
	return Destination{
		Name:            rw.Name,
		URL:             rw.URL,
		Headers:         maps.Clone(rw.Headers),
		HTTP:            rw.HTTP,
		Timeout:         rw.Timeout,
		RetryMin:        rw.Queue.MinBackoff,
		RetryMax:        rw.Queue.MaxBackoff,
		MaxBlockAge:     rw.Queue.SampleAgeLimit,
		MinSenders:      rw.Queue.MinShards,
		MaxSenders:      rw.Queue.MaxShards,
		Relabel:         rw.Relabel,
		Protocol:        protocol,
		NoMetadata:      rw.NoMetadata,
		NoExemplars:     !rw.SendExemplars,
		NoHistograms:    !rw.SendHistograms,
		FlushInterval:   rw.Queue.BatchSendDeadline,
		MaxRowsPerBlock: rw.Queue.MaxSamplesPerSend,
	}
}

func (o Options) withDefaults() (Options, error) {
	if o.Pool == nil {
		pool, err := bufpool.New(bufpool.Options{})
		if err != nil {
			return o, err
		}
		o.Pool = pool
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Account == nil {
		o.Account = func(Account) func() { return func() {} }
	}
	if o.Pressed == nil {
		o.Pressed = func() bool { return false }
	}
	if o.Short == nil {
		o.Short = func() bool { return false }
	}
	def(&o.UserAgent, "scraper")
	def(&o.Slots, 4)
	def(&o.FlushInterval, time.Second)
	def(&o.MaxRowsPerBlock, 10_000)
	def(&o.MaxBlockBytes, 8<<20)
	def(&o.MaxOpenBytes, o.MaxBlockBytes)
	def(&o.MaxPendingBytes, 64<<20)
	def(&o.DrainTimeout, 4*time.Second)
	return o, nil
}

func (o Options) validate() error {
	var errs []error
	if o.Slots < 0 || o.Slots > 1024 {
		errs = append(errs, fmt.Errorf("option Slots is %d, want 1 to 1024", o.Slots))
	}
	if o.MaxDiskBytes < 0 || o.MaxBlockAge < 0 {
		errs = append(errs, errors.New("options MaxDiskBytes and MaxBlockAge must not be negative"))
	}
	if o.DrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("option DrainTimeout is %v, want a positive duration", o.DrainTimeout))
	}
	errs = append(errs, validateBounds(o.FlushInterval, o.MaxRowsPerBlock, o.MaxBlockBytes, o.MaxPendingBytes)...)
	return errors.Join(errs...)
}

// maxBlockBytesLimit keeps the length of a block in the four bytes that every reader of snappy accepts, and a mistyped
// option from taking all memory.
const maxBlockBytesLimit = 128 << 20

func validateBounds(flush time.Duration, rows, blockBytes int, pendingBytes int64) (errs []error) {
	if flush < 0 {
		errs = append(errs, fmt.Errorf("FlushInterval is %v, want a positive duration", flush))
	}
	if rows < 0 {
		errs = append(errs, fmt.Errorf("MaxRowsPerBlock is %d, want at least 1", rows))
	}
	if blockBytes < 0 || blockBytes > maxBlockBytesLimit {
		errs = append(errs, fmt.Errorf("MaxBlockBytes is %d, want 1 to %d", blockBytes, maxBlockBytesLimit))
	}
	if pendingBytes < 0 {
		errs = append(errs, fmt.Errorf("MaxPendingBytes is %d, want at least 1", pendingBytes))
	}
	return errs
}

// withDefaults fills in what d leaves open, from o where o says it.
func (d Destination) withDefaults(o Options) Destination {
	if reflect.DeepEqual(d.HTTP, commoncfg.HTTPClientConfig{}) {
		d.HTTP = DefaultHTTP()
	}
	def(&d.Timeout, time.Minute)
	def(&d.RetryMin, time.Second)
	def(&d.RetryMax, max(time.Minute, d.RetryMin))
	if d.RetryMin > d.RetryMax { // only the maximum was given, and it is below the default minimum
		d.RetryMin = d.RetryMax
	}
	def(&d.Protocol, o.Protocol)
	def(&d.FlushInterval, o.FlushInterval)
	def(&d.MaxRowsPerBlock, o.MaxRowsPerBlock)
	def(&d.MaxBlockBytes, o.MaxBlockBytes)
	def(&d.MaxPendingBytes, o.MaxPendingBytes)
	def(&d.MaxDiskBytes, o.MaxDiskBytes)
	def(&d.MaxBlockAge, o.MaxBlockAge)
	if d.Relabel != nil && d.Relabel.Len() == 0 {
		d.Relabel = nil
	}
	return d
}

// parseURL checks the destination, and returns its URL. Errors do not show it.
func (d Destination) parseURL() (*url.URL, error) {
	var errs []error
	u, err := url.Parse(d.URL)
	switch {
	case err != nil:
		// The error of url.Parse shows what it was given.
		errs = append(errs, errors.New("the URL is not valid"))
	case u.Scheme != "http" && u.Scheme != "https":
		errs = append(errs, errors.New("the URL does not begin with http:// or https://"))
	case u.Host == "":
		errs = append(errs, errors.New("the URL names no host"))
	}
	if d.MaxDiskBytes < 0 || d.MaxBlockAge < 0 {
		errs = append(errs, errors.New("bounds of the disk and of the age must not be negative"))
	}
	if d.Protocol >= protocols {
		errs = append(errs, fmt.Errorf("protocol %d is not known", d.Protocol))
	}
	if d.RateLimit < 0 || d.MinSenders < 0 || d.MaxSenders < 0 {
		errs = append(errs, errors.New("rate limit and numbers of senders must not be negative"))
	}
	if d.Timeout < 0 || d.RetryMin < 0 || d.RetryMax < 0 {
		errs = append(errs, errors.New("timeout and retry intervals must not be negative"))
	}
	errs = append(errs, validateBounds(d.FlushInterval, d.MaxRowsPerBlock, d.MaxBlockBytes, d.MaxPendingBytes)...)
	return u, errors.Join(errs...)
}

// identity is what makes two destinations of two configurations the same one. A changed password, query, header or
// option does not change it.
func (d Destination) identity(u *url.URL) string {
	if d.Name != "" {
		return "name " + d.Name
	}
	return "url " + strings.ToLower(u.Host) + u.EscapedPath()
}

// tenant tells destinations apart which have one host and path: the tenants of one receiver. It depends on the query, the
// user and the headers, without what authenticates, and not on the order of the destinations: a backlog must not go to
// another tenant because two entries changed places.
func (d Destination) tenant(u *url.URL) string {
	h := xxhash.New()
	_, _ = h.WriteString(u.RawQuery)
	for _, user := range []string{u.User.Username(), basicUser(d.HTTP.BasicAuth)} {
		_, _ = h.WriteString("\xff" + user)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		if !strings.EqualFold(name, "Authorization") {
			_, _ = h.WriteString("\xff" + strings.ToLower(name) + "\xfe" + d.Headers[name])
		}
	}
	return fmt.Sprintf("%08x", h.Sum64()>>32)
}

func basicUser(a *commoncfg.BasicAuth) string {
	if a == nil {
		return ""
	}
	return a.Username
}

// title is how the destination is shown, without its number.
func (d Destination) title(u *url.URL) string {
	switch {
	case d.Name != "":
		return d.Name
	case d.ShowURL:
		return u.Scheme + "://" + u.Host + u.EscapedPath()
	}
	return u.Host
}

// sameClient reports whether requests to a and b are made alike, so that connections can be kept.
func sameClient(a, b Destination) bool {
	// The proxy function which HTTPClientConfig caches never compares equal; but it is made in a copy, not in ours.
	return a.URL == b.URL && a.Timeout == b.Timeout && a.RetryMin == b.RetryMin && a.RetryMax == b.RetryMax &&
		a.OnRefused == b.OnRefused && a.OnAuthError == b.OnAuthError &&
		maps.Equal(a.Headers, b.Headers) && sameTransport(a.Transport, b.Transport) && reflect.DeepEqual(a.HTTP, b.HTTP)
}

func sameTransport(a, b http.RoundTripper) bool {
	if a == nil || b == nil {
		return a == b
	}
	ta, tb := reflect.TypeOf(a), reflect.TypeOf(b)
	return ta == tb && ta.Comparable() && a == b
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
