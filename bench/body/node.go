package body

import (
	"fmt"
	"strconv"
	"strings"
)

// A kind describes one metric family of a program: its labels' values are combined with each other.
type kind struct {
	name, typ string
	dims      []dim
	le        []string // bounds of a histogram, without +Inf
	every     uint8    // how often the values move; 0: never
	float     bool
}

type dim struct {
	name   string
	values []string
}

func (k kind) series() int {
	n := 1
	for _, d := range k.dims {
		n *= len(d.values)
	}
	if k.le != nil {
		n *= len(k.le) + 3 // +Inf, sum, count
	}
	return n
}

// named makes n values: prefix0, prefix1, …
func named(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = prefix + strconv.Itoa(i)
	}
	return all
}

// write writes at most limit samples of the family.
func (k kind) write(w *writer, seed uint64, limit int) {
	help := "The " + strings.ReplaceAll(k.name, "_", " ") + " of this process."
	w.family(k.name, k.typ, help)
	left := limit
	emit := func(name, labels, value string, every uint8) {
		if left == 0 {
			return
		}
		left--
		if labels != "" {
			name += "{" + labels + "}"
		}
		w.sample(name, value, every, uint16(1+mix(seed)%37))
	}
	var each func(i int, labels string)
	each = func(i int, labels string) {
		if i < len(k.dims) {
			for _, v := range k.dims[i].values {
				each(i+1, join(labels, k.dims[i].name, v))
			}
			return
		}
		seed = mix(seed)
		every := k.every
		if every > 0 && seed%3 != 0 { // of what may move, most stands still between two scrapes
			every = 0
		}
		if k.le == nil {
			emit(k.name, labels, k.value(seed), every)
			return
		}
		for i, le := range append(k.le[:len(k.le):len(k.le)], "+Inf") {
			emit(k.name+"_bucket", join(labels, "le", le), digits(seed, 3+i/4), every)
		}
		emit(k.name+"_sum", labels, decimal(seed, 4, 6), every)
		emit(k.name+"_count", labels, digits(seed, 5), every)
	}
	each(0, "")
}

// value is a nought for every third series that does not move, as it is with real programs.
func (k kind) value(seed uint64) string {
	switch {
	case k.every == 0 && seed%3 == 0:
		return "0"
	case k.float:
		return decimal(seed, 1+int(seed%5), 6)
	case seed%7 == 0:
		return decimal(seed, 1, 6) + "e+09"
	}
	return digits(seed, 1+int(seed%9))
}

func join(labels, name, value string) string {
	pair := name + `="` + value + `"`
	if labels == "" {
		return pair
	}
	return labels + "," + pair
}

// program writes kinds until the text has exactly n samples. The last kind is made larger to fill it.
func program(seed uint64, n int, openMetrics bool, kinds []kind) *Text {
	w := newWriter(n * 130)
	w.openMetrics = openMetrics
	for i, k := range kinds {
		left := n - len(w.rows)
		if left <= 0 {
			break
		}
		if i == len(kinds)-1 && k.series() < left {
			first := &k.dims[0]
			per := k.series() / len(first.values)
			first.values = named(first.values[0]+"-", (left+per-1)/per)
		}
		k.write(w, mix(seed+uint64(i)), left)
	}
	return w.text()
}

var seconds = []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"}
var fine = []string{"0.001", "0.002", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30"}

// runtime is what each Go program shows of itself.
func runtime() []kind {
	all := []kind{
		{name: "go_gc_duration_seconds", typ: "summary", dims: []dim{{"quantile", []string{"0", "0.25", "0.5", "0.75", "1"}}}, every: 1, float: true},
		{name: "go_info", typ: "gauge", dims: []dim{{"version", []string{"go1.25.4"}}}},
	}
	for _, name := range []string{"alloc_bytes", "buck_hash_sys_bytes", "gc_sys_bytes", "heap_alloc_bytes", "heap_idle_bytes",
		"heap_inuse_bytes", "heap_objects", "heap_released_bytes", "heap_sys_bytes", "last_gc_time_seconds", "mcache_inuse_bytes",
		"mcache_sys_bytes", "mspan_inuse_bytes", "mspan_sys_bytes", "next_gc_bytes", "other_sys_bytes", "stack_inuse_bytes",
		"stack_sys_bytes", "sys_bytes"} {
		all = append(all, kind{name: "go_memstats_" + name, typ: "gauge", every: 1})
	}
	for _, name := range []string{"go_goroutines", "go_threads", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
		"process_start_time_seconds", "process_virtual_memory_bytes", "process_virtual_memory_max_bytes"} {
		all = append(all, kind{name: name, typ: "gauge", every: 2})
	}
	for _, name := range []string{"go_memstats_alloc_bytes_total", "go_memstats_frees_total", "go_memstats_mallocs_total", "process_cpu_seconds_total"} {
		all = append(all, kind{name: name, typ: "counter", every: 1, float: true})
	}
	return all
}

// NewApplication is a service's own metrics: those of its runtime, then requests by handler, then queries.
func NewApplication(number, series int, openMetrics bool) *Text {
	handlers := make([]string, 6)
	for i := range handlers {
		handlers[i] = "/" + nouns[(number+i*7)%len(nouns)]
	}
	codes := []string{"200", "400", "404", "500"}
	kinds := append(runtime(),
		kind{name: "http_requests_total", typ: "counter", dims: []dim{{"code", codes}, {"handler", handlers}, {"method", []string{"get", "post"}}}, every: 1},
		kind{name: "http_request_duration_seconds", typ: "histogram", dims: []dim{{"handler", handlers}, {"method", []string{"get", "post"}}}, le: seconds, every: 1},
		kind{name: "http_requests_in_flight", typ: "gauge", dims: []dim{{"handler", handlers}}, every: 1},
		kind{name: nouns[number%len(nouns)] + "_query_duration_seconds", typ: "histogram",
			dims: []dim{{"table", []string{"tenant"}}, {"operation", []string{"select", "insert", "update"}}}, le: seconds, every: 2})
	return program(uint64(number)<<20, series, openMetrics, kinds)
}

// NewKubelet is what the kubelet shows of itself.
func NewKubelet(series int) *Text {
	operations := []string{"container_status", "create_container", "exec_sync", "image_status", "list_containers", "list_images",
		"list_podsandbox", "podsandbox_status", "remove_container", "run_podsandbox", "start_container", "status", "stop_container", "version"}
	verbs := []string{"GET", "LIST", "PATCH", "POST", "PUT", "WATCH"}
	kinds := append(runtime(),
		kind{name: "kubelet_runtime_operations_total", typ: "counter", dims: []dim{{"operation_type", operations}}, every: 1},
		kind{name: "kubelet_runtime_operations_duration_seconds", typ: "histogram", dims: []dim{{"operation_type", operations}}, le: fine, every: 1},
		kind{name: "rest_client_request_duration_seconds", typ: "histogram", dims: []dim{{"host", []string{"10.96.0.1:443"}}, {"verb", verbs}}, le: fine, every: 1},
		kind{name: "rest_client_requests_total", typ: "counter", dims: []dim{{"code", []string{"200", "201", "404", "409"}}, {"host", []string{"10.96.0.1:443"}}, {"method", verbs}}, every: 2},
		kind{name: "storage_operation_duration_seconds", typ: "histogram", dims: []dim{{"migrated", []string{"false"}},
			{"operation_name", []string{"unmount_device", "verify_controller_attached_volume", "volume_apply_access_control", "volume_mount", "volume_unmount"}},
			{"status", []string{"success"}}, {"volume_plugin", []string{"kubernetes.io/configmap", "kubernetes.io/csi", "kubernetes.io/projected", "kubernetes.io/secret"}}},
			le: []string{"0.1", "0.25", "0.5", "1", "2.5", "5", "10", "15", "25", "50", "120", "300", "600"}, every: 4},
		kind{name: "kubernetes_feature_enabled", typ: "gauge", dims: []dim{{"name", named("Feature", 180)}, {"stage", []string{"BETA"}}}},
		kind{name: "kubelet_pod_worker_duration_seconds", typ: "histogram", dims: []dim{{"operation_type", []string{"create", "sync", "terminating"}}}, le: fine, every: 1},
		kind{name: "kubelet_http_requests_duration_seconds", typ: "histogram", dims: []dim{{"long_running", []string{"false"}}, {"method", []string{"GET", "POST"}},
			{"path", []string{"exec", "logs", "metrics", "metrics/cadvisor", "metrics/probes", "pods"}}, {"server_type", []string{"readwrite"}}}, le: seconds, every: 1},
		kind{name: "workqueue_queue_duration_seconds", typ: "histogram", dims: []dim{{"name", []string{"certificates", "nodes", "volumes"}}}, le: fine},
		kind{name: "kubelet_volume_stats_used_bytes", typ: "gauge", dims: []dim{{"namespace", []string{"production"}}, {"persistentvolumeclaim", named("data-orders-", 12)}}, every: 1},
		kind{name: "kubelet_volume_stats_inodes_used", typ: "gauge", dims: []dim{{"namespace", []string{"production"}}, {"persistentvolumeclaim", named("data-orders-", 12)}}, every: 2},
		kind{name: "kubelet_cgroup_manager_duration_seconds", typ: "histogram", dims: []dim{{"operation_type", []string{"update"}}}, le: fine, every: 1},
	)
	return program(10, series, false, kinds)
}

// NewProbes is the kubelet's count of probes: three kinds for most containers.
func NewProbes(series int) *Text {
	w := newWriter(series * 220)
	w.family("prober_probe_total", "counter", "Cumulative number of probes of a container, by their result.")
	for i := range series {
		pod := i / 5
		w.sample(fmt.Sprintf(`prober_probe_total{container="server",namespace="production",pod="%s",pod_uid="%s",probe_type="%s",result="%s"}`,
			PodName(pod), podUID(pod), []string{"Liveness", "Readiness", "Readiness", "Startup", "Startup"}[i%5],
			[]string{"successful", "successful", "failed", "successful", "failed"}[i%5]), digits(uint64(i), 1+i%5), 1, 3)
	}
	return w.text()
}

// NewNodeExporter is what a node of 32 cores with many network interfaces shows.
func NewNodeExporter(series int) *Text {
	cpus := named("", 32)
	devices := append(named("veth", 44), "eth0", "lo")
	disks := append(named("nvme", 3), "sda")
	var mounts []string
	for i := range 14 {
		mounts = append(mounts, "/var/lib/kubelet/pods/"+podUID(i)+"/volumes")
	}
	kinds := []kind{
		{name: "node_cpu_seconds_total", typ: "counter", dims: []dim{{"cpu", cpus}, {"mode", []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"}}}, every: 1, float: true},
		{name: "node_cpu_guest_seconds_total", typ: "counter", dims: []dim{{"cpu", cpus}, {"mode", []string{"nice", "user"}}}},
		{name: "node_schedstat_running_seconds_total", typ: "counter", dims: []dim{{"cpu", cpus}}, every: 1, float: true},
		{name: "node_schedstat_waiting_seconds_total", typ: "counter", dims: []dim{{"cpu", cpus}}, every: 1, float: true},
		{name: "node_softnet_processed_total", typ: "counter", dims: []dim{{"cpu", cpus}}, every: 1},
		{name: "node_softnet_dropped_total", typ: "counter", dims: []dim{{"cpu", cpus}}},
	}
	for _, name := range []string{"receive_bytes_total", "receive_packets_total", "receive_errs_total", "receive_drop_total",
		"transmit_bytes_total", "transmit_packets_total", "transmit_errs_total", "transmit_drop_total"} {
		every := uint8(0)
		if strings.Contains(name, "bytes") || strings.Contains(name, "packets") {
			every = 1
		}
		kinds = append(kinds, kind{name: "node_network_" + name, typ: "counter", dims: []dim{{"device", devices}}, every: every})
	}
	for _, name := range []string{"up", "mtu_bytes", "iface_id", "flags", "carrier", "speed_bytes"} {
		kinds = append(kinds, kind{name: "node_network_" + name, typ: "gauge", dims: []dim{{"device", devices}}})
	}
	for _, name := range []string{"avail_bytes", "files", "files_free", "free_bytes", "readonly", "size_bytes", "device_error"} {
		kinds = append(kinds, kind{name: "node_filesystem_" + name, typ: "gauge",
			dims: []dim{{"device", []string{"tmpfs"}}, {"fstype", []string{"tmpfs"}}, {"mountpoint", mounts}}, every: 2})
	}
	for _, name := range []string{"read_bytes_total", "reads_completed_total", "writes_completed_total", "written_bytes_total", "io_time_seconds_total"} {
		kinds = append(kinds, kind{name: "node_disk_" + name, typ: "counter", dims: []dim{{"device", disks}}, every: 1})
	}
	for _, name := range []string{"Active", "AnonPages", "Buffers", "Cached", "Dirty", "Inactive", "KernelStack", "Mapped", "MemAvailable",
		"MemFree", "MemTotal", "PageTables", "SReclaimable", "SUnreclaim", "Shmem", "Slab", "SwapFree", "SwapTotal", "Writeback"} {
		kinds = append(kinds, kind{name: "node_memory_" + name + "_bytes", typ: "gauge", every: 1})
	}
	kinds = append(kinds, kind{name: "node_vmstat_events_total", typ: "counter", dims: []dim{{"event", []string{"pgfault"}}}, every: 3})
	return program(20, series, false, kinds)
}

// NewInfrastructure is one of the pods which each node has: its numbers are of what the node network does.
func NewInfrastructure(number, series int) *Text {
	kinds := append(runtime(),
		kind{name: "coredns_dns_request_duration_seconds", typ: "histogram", dims: []dim{{"server", []string{"dns://:53"}}, {"zone", []string{".", "cluster.local."}}}, le: fine, every: 1},
		kind{name: "coredns_dns_responses_total", typ: "counter", dims: []dim{{"rcode", []string{"NOERROR", "NXDOMAIN", "SERVFAIL"}}, {"zone", []string{".", "cluster.local."}}}, every: 1},
		kind{name: "kubeproxy_sync_proxy_rules_duration_seconds", typ: "histogram", dims: []dim{{"ip_family", []string{"IPv4", "IPv6"}}}, le: fine, every: 1},
		kind{name: "cni_endpoint_regeneration_seconds", typ: "histogram", dims: []dim{{"scope", []string{"endpoint"}}, {"status", []string{"success", "failure"}}}, le: seconds, every: 2},
	)
	return program(uint64(number)<<30, series, false, kinds)
}

// PodName is the name of the node's nth pod.
func PodName(n int) string {
	return fmt.Sprintf("%s-%s-%s", nouns[n%len(nouns)], hexID(uint64(n)*11, 9), hexID(uint64(n)*13, 5))
}

func podUID(n int) string {
	h := containerID(n, 0, 0)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}
