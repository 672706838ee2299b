package body

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SeriesPerPod is how many series cAdvisor shows of a pod with one container: its cgroup, its pause container, the
// container itself, and ten network interfaces.
const SeriesPerPod = 236

// A Pod is what cAdvisor sees of one.
type Pod struct {
	Name, Namespace, Container, Image string
	Number                            int
	Restarts                          int  // the container's id follows from it
	Lingering                         bool // the container before the last restart is still shown, with its last timestamps
}

// CAdvisor is the kubelet's /metrics/cadvisor: explicit timestamps of up to 15 s ago on nine of ten samples, and a
// container's cgroup repeated on each line, so that it compresses by a factor of about 22.
type CAdvisor struct {
	mu   sync.Mutex
	pods []Pod // replaced as a whole

	buf     []byte
	samples int
	started time.Time
	frozen  map[string]int64 // timestamps of containers which are gone, by id
}

// NewCAdvisor returns the text of a node with these pods.
func NewCAdvisor(pods []Pod) *CAdvisor { return &CAdvisor{pods: pods} }

// SetPods says which pods there are from now on. It takes ownership, and may be called from any goroutine.
func (c *CAdvisor) SetPods(pods []Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = pods
}

// cgroup is one line's worth of identity.
type cgroup struct {
	level int       // 0: slice of the machine, 1: pod, 2: pause, 3: container
	parts [5]string // its labels; a measure's own label stands between them, since they are sorted
	seed  uint64
	ts    int64
	busy  bool
}

// A measure is a family of cAdvisor's.
type measure struct {
	name, typ string
	label     string   // which one stands in it beside the cgroup's, "" for none
	values    []string // its values
	scopes    []string // values of the label scope, where it has one
	level     int      // the least level which has it
	plain     bool     // it has no timestamp
	rate      float64  // of a busy container, per second; 0: it stands still
	float     bool
}

var measures = []measure{
	{name: "container_blkio_device_usage_total", typ: "counter", label: "operation", values: []string{"Read", "Write"}, rate: 4096},
	{name: "container_cpu_cfs_periods_total", typ: "counter", level: 1, rate: 10},
	{name: "container_cpu_cfs_throttled_periods_total", typ: "counter", level: 1},
	{name: "container_cpu_cfs_throttled_seconds_total", typ: "counter", level: 1},
	{name: "container_cpu_load_average_10s", typ: "gauge"},
	{name: "container_cpu_load_d_average_10s", typ: "gauge"},
	{name: "container_cpu_system_seconds_total", typ: "counter", rate: 0.01, float: true},
	{name: "container_cpu_usage_seconds_total", typ: "counter", label: "cpu", values: []string{"total"}, rate: 0.05, float: true},
	{name: "container_cpu_user_seconds_total", typ: "counter", rate: 0.04, float: true},
	{name: "container_file_descriptors", typ: "gauge"},
	{name: "container_fs_reads_bytes_total", typ: "counter", label: "device", values: []string{"/dev/vda"}, level: 3, rate: 100},
	{name: "container_fs_reads_total", typ: "counter", label: "device", values: []string{"/dev/vda"}, level: 3, rate: 0.1},
	{name: "container_fs_writes_bytes_total", typ: "counter", label: "device", values: []string{"/dev/vda"}, level: 3, rate: 4096},
	{name: "container_fs_writes_total", typ: "counter", label: "device", values: []string{"/dev/vda"}, level: 3, rate: 1},
	{name: "container_fs_usage_bytes", typ: "gauge", label: "device", values: []string{"/dev/vda"}, level: 3, rate: 4096},
	{name: "container_last_seen", typ: "gauge", rate: 1},
	{name: "container_memory_cache", typ: "gauge", rate: 10},
	{name: "container_memory_failcnt", typ: "counter"},
	{name: "container_memory_failures_total", typ: "counter", label: "failure_type", values: []string{"pgfault", "pgmajfault"}, scopes: []string{"container", "hierarchy"}, rate: 3},
	{name: "container_memory_kernel_usage", typ: "gauge", rate: 5},
	{name: "container_memory_mapped_file", typ: "gauge"},
	{name: "container_memory_max_usage_bytes", typ: "gauge"},
	{name: "container_memory_rss", typ: "gauge", rate: 4096},
	{name: "container_memory_swap", typ: "gauge"},
	{name: "container_memory_total_active_file_bytes", typ: "gauge"},
	{name: "container_memory_total_inactive_file_bytes", typ: "gauge"},
	{name: "container_memory_usage_bytes", typ: "gauge", rate: 4096},
	{name: "container_memory_working_set_bytes", typ: "gauge", rate: 4096},
	{name: "container_network_receive_bytes_total", typ: "counter", label: "interface", rate: 900},
	{name: "container_network_receive_errors_total", typ: "counter", label: "interface"},
	{name: "container_network_receive_packets_dropped_total", typ: "counter", label: "interface"},
	{name: "container_network_receive_packets_total", typ: "counter", label: "interface", rate: 9},
	{name: "container_network_transmit_bytes_total", typ: "counter", label: "interface", rate: 900},
	{name: "container_network_transmit_errors_total", typ: "counter", label: "interface"},
	{name: "container_network_transmit_packets_dropped_total", typ: "counter", label: "interface"},
	{name: "container_network_transmit_packets_total", typ: "counter", label: "interface", rate: 9},
	{name: "container_oom_events_total", typ: "counter"},
	{name: "container_pressure_cpu_stalled_seconds_total", typ: "counter", rate: 0.001, float: true},
	{name: "container_pressure_cpu_waiting_seconds_total", typ: "counter", rate: 0.001, float: true},
	{name: "container_pressure_io_stalled_seconds_total", typ: "counter"},
	{name: "container_pressure_io_waiting_seconds_total", typ: "counter"},
	{name: "container_pressure_memory_stalled_seconds_total", typ: "counter"},
	{name: "container_pressure_memory_waiting_seconds_total", typ: "counter"},
	{name: "container_processes", typ: "gauge"},
	{name: "container_sockets", typ: "gauge"},
	{name: "container_spec_cpu_period", typ: "gauge", plain: true},
	{name: "container_spec_cpu_quota", typ: "gauge", level: 1, plain: true},
	{name: "container_spec_cpu_shares", typ: "gauge", plain: true},
	{name: "container_spec_memory_limit_bytes", typ: "gauge", plain: true},
	{name: "container_spec_memory_reservation_limit_bytes", typ: "gauge", plain: true},
	{name: "container_spec_memory_swap_limit_bytes", typ: "gauge", plain: true},
	{name: "container_start_time_seconds", typ: "gauge", plain: true},
	{name: "container_tasks_state", typ: "gauge", label: "state", values: []string{"iowaiting", "running", "sleeping", "stopped", "uninterruptible"}},
	{name: "container_threads", typ: "gauge"},
	{name: "container_threads_max", typ: "gauge"},
	{name: "container_ulimits_soft", typ: "gauge", label: "ulimit", values: []string{"max_open_files"}, level: 3},
}

// interfaces are those of a pod's network namespace.
var interfaces = []string{"eth0", "erspan0", "gre0", "gretap0", "ip6_vti0", "ip6gre0", "ip6tnl0", "ip_vti0", "sit0", "tunl0"}

// slices are the machine's own cgroups.
var slices = []string{"/", "/kubepods", "/kubepods/besteffort", "/kubepods/burstable", "/system.slice/kubelet.service"}

// Samples implements Source.
func (c *CAdvisor) Samples() int {
	if c.samples == 0 {
		c.Next(time.Now())
	}
	return c.samples
}

// Next implements Source.
func (c *CAdvisor) Next(now time.Time) []byte {
	if c.started.IsZero() {
		c.started, c.frozen = now, make(map[string]int64)
	}
	groups := c.cgroups(now)
	elapsed := now.Sub(c.started).Seconds()
	c.buf, c.samples = c.buf[:0], 0
	for i := range measures {
		m := &measures[i]
		for _, part := range []string{"# HELP ", m.name, " Measured of the control group by its kernel.\n# TYPE ", m.name, " ", m.typ, "\n"} {
			c.buf = append(c.buf, part...)
		}
		for j := range groups {
			g := &groups[j]
			switch {
			case g.level < m.level:
			case m.label == "":
				c.line(m, g, "", "", elapsed, uint64(i))
			case m.label == "interface":
				if g.level == 2 { // the network belongs to the pause container
					for k, name := range interfaces {
						c.line(m, g, name, "", elapsed, uint64(i)<<8|uint64(k))
					}
				}
			default:
				for k, v := range m.values {
					if m.scopes == nil {
						c.line(m, g, v, "", elapsed, uint64(i)<<8|uint64(k))
					}
					for l, scope := range m.scopes {
						c.line(m, g, v, scope, elapsed, uint64(i)<<8|uint64(l)<<4|uint64(k))
					}
				}
			}
		}
	}
	return c.buf
}

// cgroups lists what is shown, in the order of cAdvisor: by container, then by id.
func (c *CAdvisor) cgroups(now time.Time) []cgroup {
	c.mu.Lock()
	pods := c.pods
	c.mu.Unlock()
	all := make([]cgroup, 0, len(slices)+3*len(pods)+4)
	ts := func(seed uint64) int64 { return now.UnixMilli() - int64(mix(seed)%15_000) }
	for i, id := range slices {
		all = append(all, newCgroup(0, "", id, "", "", Pod{}, ts(uint64(i))))
	}
	for level := 1; level <= 3; level++ {
		for _, p := range pods {
			seed := uint64(p.Number)<<8 | uint64(level)
			podPath := "/kubepods/burstable/pod" + podUID(p.Number)
			switch level {
			case 1:
				all = append(all, newCgroup(1, "", podPath, "", "", p, ts(seed)))
			case 2:
				name := containerID(p.Number, level, 0)
				all = append(all, newCgroup(2, "", podPath+"/"+name, "registry.k8s.io/pause:3.10.1", name, p, ts(seed)))
			case 3:
				if p.Lingering && p.Restarts > 0 {
					name := containerID(p.Number, level, p.Restarts-1)
					if c.frozen[name] == 0 {
						c.frozen[name] = ts(seed)
					}
					all = append(all, newCgroup(3, p.Container, podPath+"/"+name, p.Image, name, p, c.frozen[name]))
				}
				name := containerID(p.Number, level, p.Restarts)
				all = append(all, newCgroup(3, p.Container, podPath+"/"+name, p.Image, name, p, ts(seed)))
			}
		}
	}
	return all
}

func newCgroup(level int, container, id, image, name string, p Pod, ts int64) cgroup {
	g := cgroup{level: level, ts: ts, seed: mix(uint64(p.Number)<<8 | uint64(level))}
	g.busy = g.seed%3 == 0 && level != 2
	g.parts = [5]string{`container="` + container + `"`, `,id="` + id + `",image="` + image, `"`,
		`,name="` + name + `",namespace="` + p.Namespace, `",pod="` + p.Name + `"`}
	return g
}

// line writes one sample. The labels stand in alphabetical order, as the real ones do.
func (c *CAdvisor) line(m *measure, g *cgroup, value, scope string, elapsed float64, seed uint64) {
	c.samples++
	b := append(c.buf, m.name...)
	b = append(b, '{')
	put := func(label string) {
		if m.label == label {
			b = append(append(append(append(append(b, ','), label...), `="`...), value...), '"')
		}
	}
	b = append(b, g.parts[0]...)
	put("cpu")
	put("device")
	put("failure_type")
	b = append(b, g.parts[1]...)
	b = append(b, g.parts[2]...)
	put("interface")
	b = append(b, g.parts[3]...)
	if m.label == "operation" || m.label == "state" || m.label == "ulimit" {
		b = append(b, g.parts[4][:1]...)
		put(m.label)
		b = append(b, g.parts[4][1:]...)
	} else {
		b = append(b, g.parts[4]...)
	}
	if scope != "" {
		b = append(append(append(b, `,scope="`...), scope...), '"')
	}
	b = append(b, "} "...)
	b = appendValue(b, m, g, elapsed, mix(seed^g.seed))
	if !m.plain && !(g.level == 0 && m.rate == 0 && seed%4 == 0) {
		b = append(b, ' ')
		b = strconv.AppendInt(b, g.ts, 10)
	}
	c.buf = append(b, '\n')
}

// appendValue: most of what could move stands still, since most containers do nothing most of the time.
func appendValue(b []byte, m *measure, g *cgroup, elapsed float64, seed uint64) []byte {
	if m.rate == 0 {
		if seed%8 != 0 {
			return append(b, '0')
		}
		return strconv.AppendUint(b, seed%1000, 10)
	}
	if !g.busy && seed%6 != 0 {
		if seed%3 == 0 {
			return append(b, '0')
		}
		elapsed = 0
	}
	v := m.rate * (elapsed*(0.5+float64(seed%64)/64) + float64(seed%100_000))
	if m.float {
		return strconv.AppendFloat(b, math.Round(v*1e6)/1e6, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, math.Floor(v), 'g', -1, 64)
}

// containerID is as long as a real one, but repeats four digits, and so do the pods' ids which are made of it: the control
// groups of 59 pods do not fit into gzip's window, and with real ids the text would compress worse than those that were
// captured on smaller nodes. An odd factor keeps the ids of 8192 pods apart.
func containerID(pod, level, restarts int) string {
	id := uint16(pod<<3|level<<1|restarts&1) * 40503
	return strings.Repeat(fmt.Sprintf("%04x", id), 16)
}
