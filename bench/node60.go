package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
)

// What a DaemonSet's agent meets on a busy node. All labels which service discovery would give are in the files which the
// agents watch; the rules are written as the usual stacks write them.

// relabeling returns the rules of a role, and the labels which discovery gives beside those of a pod.
type relabeling func(role string) (rules, metricRules []agent.Rule, discovered map[string]string)

// Roles of targets.
const (
	roleKubelet  = "kubelet"
	roleCAdvisor = "cadvisor"
	roleProbes   = "probes"
	roleNode     = "node-exporter"
	rolePod      = "pod"
)

func node60(name, about string, rules relabeling) *scenario {
	return &scenario{
		name: name, about: about, standard: true, secure: true, floor: true,
		interval: 30 * second, warm: 40 * second, window: 120 * second, long: 1200 * second,
		build: func(ctx context.Context, m *measurement) error { return buildNode(ctx, m, rules) },
	}
}

// application is a pod with metrics.
type application struct {
	number, series int
	period         time.Duration
	target         *farm.Target
}

// node is the state of one node.
type node struct {
	m        *measurement
	cadvisor *body.CAdvisor
	pods     []body.Pod // of all kinds; short jobs are appended
	apps     []*application
	jobs     map[time.Duration]agent.Job // of applications, by their period
	next     int                         // the next pod's number
}

func buildNode(ctx context.Context, m *measurement, rules relabeling) error {
	n := &node{m: m, jobs: make(map[time.Duration]agent.Job)}
	for i := range 59 {
		n.pods = append(n.pods, newPod(i))
	}
	n.next = len(n.pods)
	n.cadvisor = body.NewCAdvisor(slices.Clone(n.pods))
	const every = 30 * second

	secure := func(path string, source body.Source, period time.Duration) *farm.Target {
		return &farm.Target{Path: path, Source: source, TLS: true, Gzip: true, Chunked: true, Period: period}
	}
	kubelet := []*farm.Target{
		secure("/metrics", body.NewKubelet(3000), every),
		secure("/metrics/cadvisor", n.cadvisor, every),
		secure("/metrics/probes", body.NewProbes(250), every),
	}
	if err := m.farm.Add(ctx, kubelet...); err != nil {
		return err
	}
	for i, role := range []string{roleKubelet, roleCAdvisor, roleProbes} {
		m.config.Jobs = append(m.config.Jobs, n.job(role, role, rules, kubelet[i:i+1], nil))
	}
	exporter := secure("", body.NewNodeExporter(2500), 15*second)
	if err := m.farm.Add(ctx, exporter); err != nil {
		return err
	}
	m.config.Jobs = append(m.config.Jobs, n.job("node-exporter", roleNode, rules, []*farm.Target{exporter}, nil))

	infra := n.job("infrastructure", rolePod, rules, nil, nil)
	for i := range 7 {
		t := &farm.Target{Source: body.NewInfrastructure(i, 642+i/4*2), Gzip: true, Chunked: true, Period: every}
		if err := m.farm.Add(ctx, t); err != nil {
			return err
		}
		infra.Groups = append(infra.Groups, n.group(t, i, rules))
	}
	m.config.Jobs = append(m.config.Jobs, infra)

	for i := range 40 {
		app := &application{number: 7 + i, series: 400, period: every}
		switch {
		case i >= 38:
			app.series = 8000
		case i >= 30:
			app.series = 1500
		case i < 10:
			app.period = 15 * second
		}
		if err := n.addApplication(ctx, app); err != nil {
			return err
		}
		n.apps = append(n.apps, app)
	}
	for _, period := range []time.Duration{15 * second, every} {
		job := n.job(fmt.Sprintf("applications-%.0fs", period.Seconds()), rolePod, rules, nil, nil)
		job.Interval, job.Watched = period, true
		job.Groups = n.groups(period, rules)
		n.jobs[period] = job
		m.config.Jobs = append(m.config.Jobs, job)
	}
	m.children = append(m.children, func(ctx context.Context) { n.churn(ctx, rules) })
	return nil
}

func newPod(number int) body.Pod {
	return body.Pod{Name: body.PodName(number), Namespace: []string{"production", "kube-system", "monitoring"}[number%3],
		Container: "server", Image: fmt.Sprintf("registry.example/shop/server-%d:1.2.3", number%20), Number: number}
}

// addApplication starts a pod's target. A third of them speaks OpenMetrics with agents that can.
func (n *node) addApplication(ctx context.Context, app *application) error {
	t := &farm.Target{Source: body.NewApplication(app.number, app.series, false), Gzip: true, Chunked: true, Period: app.period}
	if app.number%3 == 0 {
		t.OpenMetrics = body.NewApplication(app.number, app.series, true)
	}
	app.target = t
	return n.m.farm.Add(ctx, t)
}

// job is a job of one role; its targets may be added later.
func (n *node) job(name, role string, rules relabeling, targets []*farm.Target, labels map[string]string) agent.Job {
	j := agent.Job{Name: name, Interval: 30 * second, HonorTimes: true}
	var discovered map[string]string
	j.Relabel, j.MetricRelabel, discovered = rules(role)
	if len(targets) > 0 {
		t := targets[0]
		j.Interval, j.Path = t.Period, t.Path
		j.TLS, j.Token, j.HonorLabels = true, n.m.token, role != roleNode
		all := maps.Clone(discovered)
		maps.Copy(all, labels)
		maps.Copy(all, map[string]string{
			"__meta_kubernetes_namespace":                          "kube-system",
			"__meta_kubernetes_service_name":                       role,
			"__meta_kubernetes_service_label_app":                  role,
			"__meta_kubernetes_endpoint_port_name":                 "https-metrics",
			"__meta_kubernetes_endpoint_address_target_name":       "ip-10-0-1-17.internal",
			"__meta_kubernetes_endpoint_address_target_kind":       "Node",
			"__meta_kubernetes_service_labelpresent_app":           "true",
			"__meta_kubernetes_pod_phase":                          "Running",
			"__meta_kubernetes_pod_name":                           role + "-x7k2p",
			"__meta_kubernetes_pod_container_name":                 role,
			"__meta_kubernetes_pod_node_name":                      "ip-10-0-1-17.internal",
			"__meta_kubernetes_node_address_InternalIP":            "10.0.1.17",
			"__meta_kubernetes_node_provider_id":                   "aws:///eu-central-1a/i-0123456789abcdef0",
			"__meta_kubernetes_service_annotation_prometheus_port": "10250",
		})
		j.Groups = []agent.Group{{Targets: []string{t.Address()}, Labels: all}}
	}
	return j
}

// group is what discovery says of a pod's target.
func (n *node) group(t *farm.Target, number int, rules relabeling) agent.Group {
	pod := newPod(number)
	app := strings.SplitN(pod.Name, "-", 2)[0]
	_, _, discovered := rules(rolePod)
	labels := maps.Clone(discovered)
	maps.Copy(labels, map[string]string{
		"__meta_kubernetes_namespace":                       pod.Namespace,
		"__meta_kubernetes_service_name":                    app,
		"__meta_kubernetes_service_label_app":               app,
		"__meta_kubernetes_service_labelpresent_app":        "true",
		"__meta_kubernetes_endpoint_port_name":              "metrics",
		"__meta_kubernetes_endpoint_address_target_kind":    "Pod",
		"__meta_kubernetes_endpoint_address_target_name":    pod.Name,
		"__meta_kubernetes_pod_name":                        pod.Name,
		"__meta_kubernetes_pod_phase":                       "Running",
		"__meta_kubernetes_pod_ready":                       "true",
		"__meta_kubernetes_pod_container_name":              pod.Container,
		"__meta_kubernetes_pod_container_image":             pod.Image,
		"__meta_kubernetes_pod_node_name":                   "ip-10-0-1-17.internal",
		"__meta_kubernetes_pod_label_app":                   app,
		"__meta_kubernetes_pod_label_pod_template_hash":     strings.SplitN(pod.Name, "-", 3)[1],
		"__meta_kubernetes_pod_label_version":               "1.2.3",
		"__meta_kubernetes_pod_annotation_checksum_config":  pod.Name,
		"__meta_kubernetes_pod_annotationpresent_checksum":  "true",
		"__meta_kubernetes_pod_controller_kind":             "ReplicaSet",
		"__meta_kubernetes_pod_controller_name":             app,
		"__meta_kubernetes_pod_uid":                         pod.Name,
		"__meta_kubernetes_pod_container_port_name":         "metrics",
		"__meta_kubernetes_pod_container_port_number":       "9100",
		"__meta_kubernetes_endpointslice_name":              app + "-x7k2p",
		"__meta_kubernetes_endpointslice_address_type":      "IPv4",
		"__meta_kubernetes_endpointslice_port_protocol":     "TCP",
		"__meta_kubernetes_service_cluster_ip":              "10.96.12.7",
		"__meta_kubernetes_service_type":                    "ClusterIP",
		"__meta_kubernetes_service_annotation_managed_by":   "helm",
		"__meta_kubernetes_endpointslice_endpoint_hostname": pod.Name,
	})
	return agent.Group{Targets: []string{t.Address()}, Labels: labels}
}

// groups are the applications of one period.
func (n *node) groups(period time.Duration, rules relabeling) []agent.Group {
	all := []agent.Group{}
	for _, app := range n.apps {
		if app.period == period {
			all = append(all, n.group(app.target, app.number, rules))
		}
	}
	return all
}

// churn is what happens on the node, until ctx ends: four short jobs a minute which live for 20 s, a restart of a
// container every five minutes, and a deployment every ten which replaces five pods.
func (n *node) churn(ctx context.Context, rules relabeling) {
	type shortJob struct{ number, ends int }
	var jobs []shortJob
	for sec := 1; sleep(ctx, second) == nil; sec++ {
		changed := false
		if sec%15 == 0 {
			n.pods = append(n.pods, newPod(n.next))
			jobs = append(jobs, shortJob{n.next, sec + 20})
			n.next++
			changed = true
		}
		for len(jobs) > 0 && jobs[0].ends <= sec {
			n.pods = slices.DeleteFunc(n.pods, func(p body.Pod) bool { return p.Number == jobs[0].number })
			jobs = jobs[1:]
			changed = true
		}
		if sec%300 == 80 {
			pod := &n.pods[sec/300%7]
			pod.Restarts++
			pod.Lingering = true
			changed = true
			n.m.mark("a container restarts")
		}
		if sec%600 == 100 {
			n.m.mark("5 pods are replaced")
			if err := n.deploy(ctx, rules, sec/600); err != nil {
				n.m.note("deploy", "the deployment failed: "+err.Error())
			}
			changed = true
		}
		if changed {
			n.cadvisor.SetPods(slices.Clone(n.pods))
		}
	}
}

// deploy replaces five of the smaller applications. Their old pods answer until agents know that they are gone.
func (n *node) deploy(ctx context.Context, rules relabeling, turn int) error {
	var old []*farm.Target
	for i := range 5 {
		app := n.apps[(turn*5+i)%30]
		old = append(old, app.target)
		number := app.number
		app.number = n.next
		n.next++
		if err := n.addApplication(ctx, app); err != nil {
			return err
		}
		for j, p := range n.pods {
			if p.Number == number {
				n.pods[j] = newPod(app.number)
			}
		}
	}
	for period, job := range n.jobs {
		job.Groups = n.groups(period, rules)
		if err := n.m.config.WriteTargets(job); err != nil {
			return err
		}
	}
	n.m.samples.wg.Go(func() {
		if sleep(ctx, 5*second) == nil {
			for _, t := range old {
				n.m.farm.Remove(t)
			}
		}
	})
	return nil
}

// replace copies labels into another.
func replace(target string, source ...string) agent.Rule {
	return agent.Rule{SourceLabels: source, TargetLabel: target, Action: "replace"}
}

// drop drops what matches: of targets, or of samples.
func drop(regex string, source ...string) agent.Rule {
	return agent.Rule{SourceLabels: source, Regex: regex, Action: "drop"}
}

// relabelA is the way of kube-prometheus: eight labels of the target, and a dozen drops on the kubelet's metrics.
func relabelA(role string) (rules, metricRules []agent.Rule, discovered map[string]string) {
	rules = []agent.Rule{
		{SourceLabels: []string{"__meta_kubernetes_service_label_app", "__meta_kubernetes_service_labelpresent_app"}, Regex: "(.+);true", Action: "keep"},
		{SourceLabels: []string{"__meta_kubernetes_endpoint_port_name"}, Regex: "https-metrics|metrics", Action: "keep"},
		{SourceLabels: []string{"__meta_kubernetes_endpoint_address_target_kind", "__meta_kubernetes_endpoint_address_target_name"},
			Separator: ";", Regex: "Node;(.*)", Replacement: "${1}", TargetLabel: "node", Action: "replace"},
		{SourceLabels: []string{"__meta_kubernetes_endpoint_address_target_kind", "__meta_kubernetes_endpoint_address_target_name"},
			Separator: ";", Regex: "Pod;(.*)", Replacement: "${1}", TargetLabel: "pod", Action: "replace"},
		replace("namespace", "__meta_kubernetes_namespace"),
		replace("service", "__meta_kubernetes_service_name"),
		replace("pod", "__meta_kubernetes_pod_name"),
		replace("container", "__meta_kubernetes_pod_container_name"),
		drop("(Failed|Succeeded)", "__meta_kubernetes_pod_phase"),
		replace("job", "__meta_kubernetes_service_name"),
		{TargetLabel: "endpoint", Replacement: "metrics", Action: "replace"},
		replace("node", "__meta_kubernetes_pod_node_name"),
		replace("metrics_path", "__metrics_path__"),
		{SourceLabels: []string{"__address__"}, TargetLabel: "__tmp_hash", Modulus: 1, Action: "hashmod"},
		{SourceLabels: []string{"__tmp_hash"}, Regex: "0", Action: "keep"},
	}
	name := "__name__"
	switch role {
	case roleKubelet:
		metricRules = []agent.Rule{
			drop("kubelet_(pod_worker_latency_microseconds|pod_start_latency_microseconds|cgroup_manager_latency_microseconds|device_plugin_registration_count)", name),
			drop("scheduler_(e2e_scheduling_latency_microseconds|scheduling_algorithm_latency_microseconds|binding_latency_microseconds)", name),
			drop("apiserver_(request_count|request_latencies|storage_data_key_generation_latencies_microseconds)", name),
			drop("kubelet_docker_(operations|operations_latency_microseconds|operations_errors|operations_timeout)", name),
			drop("reflector_(items_per_list|items_per_watch|list_duration_seconds|lists_total|watch_duration_seconds)", name),
			drop("etcd_(helper_cache_hit_count|object_counts|request_cache_get_latencies_summary)", name),
			drop("transformation_(transformation_latencies_microseconds|failures_total)", name),
			drop("(admission_quota_controller|crd_autoregistration_controller|namespace)_(adds|depth|latency|retries|work_duration)", name),
			drop(`(csi_operations|storage_operation_duration)_seconds_bucket;(0.25|2.5|15|25|120|600)(\.0)?`, name, "le"),
			drop(`rest_client_request_duration_seconds_bucket;(0.002|0.01|0.025)`, name, "le"),
		}
	case roleCAdvisor:
		metricRules = []agent.Rule{
			drop("container_(network_tcp_usage_total|network_udp_usage_total|tasks_state|cpu_load_average_10s|cpu_load_d_average_10s)", name),
			drop("(container_spec_.*|container_file_descriptors|container_sockets|container_threads_max|container_threads|container_start_time_seconds|container_last_seen);;", name, "pod", "namespace"),
			drop("(container_blkio_device_usage_total);.+", name, "container"),
			drop("container_memory_failures_total;hierarchy", name, "scope"),
			drop("container_network_.*;(cali|cilium|cni|lxc|nodelocaldns|tunl).*", name, "interface"),
			drop("container_fs_(io_current|io_time_weighted_seconds_total|reads_merged_total|sector_reads_total)", name),
		}
	}
	return rules, metricRules, map[string]string{}
}

// relabelB is the way of the VictoriaMetrics stack: all labels of the node on each of the kubelet's series, and two
// labels dropped from them.
func relabelB(role string) (rules, metricRules []agent.Rule, discovered map[string]string) {
	if role == rolePod || role == roleNode {
		rules = []agent.Rule{
			{SourceLabels: []string{"__meta_kubernetes_endpoint_port_name"}, Regex: "https-metrics|metrics", Action: "keep"},
			replace("namespace", "__meta_kubernetes_namespace"),
			replace("service", "__meta_kubernetes_service_name"),
			replace("pod", "__meta_kubernetes_pod_name"),
			replace("container", "__meta_kubernetes_pod_container_name"),
			replace("job", "__meta_kubernetes_service_name"),
			replace("node", "__meta_kubernetes_pod_node_name"),
			{TargetLabel: "endpoint", Replacement: "metrics", Action: "replace"},
		}
		return rules, nil, map[string]string{}
	}
	rules = []agent.Rule{
		{Regex: "__meta_kubernetes_node_label_(.+)", Action: "labelmap"},
		replace("metrics_path", "__metrics_path__"),
		{TargetLabel: "job", Replacement: "kubelet", Action: "replace"},
		replace("node", "__meta_kubernetes_pod_node_name"),
	}
	metricRules = []agent.Rule{
		{Regex: "(uid)", Action: "labeldrop"},
		drop("(rest_client_request_duration_seconds_bucket|rest_client_request_duration_seconds_sum|rest_client_request_duration_seconds_count)", "__name__"),
	}
	if role == roleCAdvisor {
		metricRules = append(metricRules, agent.Rule{Regex: "(id|name)", Action: "labeldrop"})
	}
	discovered = make(map[string]string)
	for _, l := range nodeLabels {
		key, value, _ := strings.Cut(l, "=")
		discovered["__meta_kubernetes_node_label_"+key] = value
	}
	return rules, metricRules, discovered
}

// nodeLabels are 25, as a managed cluster's nodes have.
var nodeLabels = []string{
	"beta_kubernetes_io_arch=amd64", "beta_kubernetes_io_instance_type=m6i.8xlarge", "beta_kubernetes_io_os=linux",
	"eks_amazonaws_com_capacityType=ON_DEMAND", "eks_amazonaws_com_nodegroup=general-20260101", "eks_amazonaws_com_nodegroup_image=ami-0123456789abcdef0",
	"eks_amazonaws_com_sourceLaunchTemplateId=lt-0123456789abcdef0", "eks_amazonaws_com_sourceLaunchTemplateVersion=7",
	"failure_domain_beta_kubernetes_io_region=eu-central-1", "failure_domain_beta_kubernetes_io_zone=eu-central-1a",
	"k8s_io_cloud_provider_aws=0123456789abcdef0123456789abcdef", "karpenter_sh_capacity_type=on-demand", "karpenter_sh_nodepool=general",
	"kubernetes_io_arch=amd64", "kubernetes_io_hostname=ip-10-0-1-17.internal", "kubernetes_io_os=linux",
	"node_kubernetes_io_instance_type=m6i.8xlarge", "node_kubernetes_io_lifecycle=normal", "shop_example_cost_center=4711",
	"shop_example_environment=production", "shop_example_team=platform", "topology_ebs_csi_aws_com_zone=eu-central-1a",
	"topology_kubernetes_io_region=eu-central-1", "topology_kubernetes_io_zone=eu-central-1a", "vpc_amazonaws_com_has_trunk_attached=true",
}
