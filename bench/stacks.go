package main

import (
	"strings"

	"scraper/bench/agent"
)

// How the usual stacks relabel what a node has. Run A is kube-prometheus', run B that of VictoriaMetrics.

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
	// Without ids and names, series of /metrics and of containers become the same as others: that is how the stack ships it.
	metricRules = []agent.Rule{
		{Regex: "(uid)", Action: "labeldrop"},
		{Regex: "(id|name)", Action: "labeldrop"},
		drop("(rest_client_request_duration_seconds_bucket|rest_client_request_duration_seconds_sum|rest_client_request_duration_seconds_count)", "__name__"),
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
