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
		name: name, about: about, standard: true, secure: true, perSeries: true, floor: true,
		interval: 30 * second, quick: span{32 * second, 60 * second}, short: span{40 * second, 120 * second}, long: span{40 * second, 1200 * second},
		build: func(ctx context.Context, m *measurement) error {
			n, err := buildNode(ctx, m, rules)
			if err == nil {
				m.children = append(m.children, func(ctx context.Context) { n.churn(ctx, rules) })
			}
			return err
		},
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
	m         *measurement
	pathLabel bool // pods\' series have their path as a label
	cadvisor  *body.CAdvisor
	pods      []body.Pod // of all kinds; short jobs are appended
	shortJobs []shortJob // the pods which will end, in the order of their ends
	apps      []*application
	jobs      map[time.Duration]agent.Job // of applications, by their period
	next      int                         // the next pod's number
}

func buildNode(ctx context.Context, m *measurement, rules relabeling) (*node, error) {
	n := &node{m: m, jobs: make(map[time.Duration]agent.Job)}
	podRules, _, _ := rules(rolePod)
	n.pathLabel = slices.ContainsFunc(podRules, func(r agent.Rule) bool { return r.TargetLabel == "metrics_path" })
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
	kubelet[1].GzipLevel = 9 // so that it comes to the 22:1 which a real one's text is compressed by
	if err := m.farm.Add(ctx, kubelet...); err != nil {
		return nil, err
	}
	for i, role := range []string{roleKubelet, roleCAdvisor, roleProbes} {
		m.config.Jobs = append(m.config.Jobs, n.job(role, role, rules, kubelet[i:i+1], nil))
	}
	exporter := secure("", either(m.bodies.Text("node_exporter", 0, 2500), body.NewNodeExporter(2500)), 15*second)
	if err := m.farm.Add(ctx, exporter); err != nil {
		return nil, err
	}
	m.config.Jobs = append(m.config.Jobs, n.job("node-exporter", roleNode, rules, []*farm.Target{exporter}, nil))
	m.labels.set(exporter, n.final("kube-system", roleNode, roleNode+"-x7k2p", roleNode))

	infra := n.job("infrastructure", rolePod, rules, nil, nil)
	for i := range 7 {
		series := 642 + i/4*2
		source := either(m.bodies.Text("", i, series), body.NewInfrastructure(i, series))
		t := &farm.Target{Source: source, Gzip: true, Chunked: true, Period: every}
		if err := m.farm.Add(ctx, t); err != nil {
			return nil, err
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
			return nil, err
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
	return n, nil
}

func newPod(number int) body.Pod {
	return body.Pod{Name: body.PodName(number), Namespace: []string{"production", "kube-system", "monitoring"}[number%3],
		Container: "server", Image: fmt.Sprintf("registry.example/shop/server-%d:1.2.3", number%20), Number: number}
}

// either is the captured text if there is one, else the one in its likeness.
func either(captured, made *body.Text) *body.Text {
	if captured != nil {
		return captured
	}
	return made
}

// addApplication starts a pod's target. A third of them speaks OpenMetrics with agents that can.
func (n *node) addApplication(ctx context.Context, app *application) error {
	source := body.NewApplication(app.number, app.series, false)
	if app.series > 400 && app.number%3 != 0 {
		source = either(n.m.bodies.Text("", app.number, app.series), source)
	}
	t := &farm.Target{Source: source, Gzip: true, Chunked: true, Period: app.period}
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
	n.m.labels.set(t, n.final(pod.Namespace, app, pod.Name, pod.Container))
	return agent.Group{Targets: []string{t.Address()}, Labels: labels}
}

// final are the labels which a pod's or node_exporter's series have in the end, by either stack's rules. It is written down
// rather than computed by them, so that it is a check.
func (n *node) final(namespace, service, pod, container string) map[string]string {
	labels := map[string]string{
		"namespace": namespace, "service": service, "job": service, "pod": pod, "container": container,
		"endpoint": "metrics", "node": "ip-10-0-1-17.internal",
	}
	if n.pathLabel {
		labels["metrics_path"] = "/metrics"
	}
	return labels
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

// shortJob is a pod of the node which ends by itself.
type shortJob struct{ number, ends int }

// What happens on a node, in seconds.
const (
	shortJobEvery = 15
	shortJobLives = 20
	restartEvery  = 300
	restartFirst  = 50 // after warming up, and inside of the shortest window
	deployEvery   = 600
	deployFirst   = 60
)

// churn is what happens on the node, until ctx ends: four short jobs a minute which live for 20 s, a restart of a
// container every five minutes whose old id is still shown, and a deployment every ten which replaces five pods.
func (n *node) churn(ctx context.Context, rules relabeling) {
	for sec := 1; sleep(ctx, second) == nil; sec++ {
		n.step(ctx, sec, rules)
	}
}

// step is what happens on the node in its secth second.
func (n *node) step(ctx context.Context, sec int, rules relabeling) {
	changed := false
	if sec%shortJobEvery == 0 {
		n.pods = append(n.pods, newPod(n.next))
		n.shortJobs = append(n.shortJobs, shortJob{n.next, sec + shortJobLives})
		n.next++
		changed = true
	}
	for len(n.shortJobs) > 0 && n.shortJobs[0].ends <= sec {
		n.pods = slices.DeleteFunc(n.pods, func(p body.Pod) bool { return p.Number == n.shortJobs[0].number })
		n.shortJobs = n.shortJobs[1:]
		changed = true
	}
	if sec%restartEvery == restartFirst {
		pod := &n.pods[sec/restartEvery%7]
		pod.Restarts++
		pod.Lingering = true
		changed = true
		n.m.mark("a container restarts")
	}
	if sec%deployEvery == deployFirst {
		n.m.mark("5 pods are replaced")
		if err := n.deploy(ctx, rules, sec/deployEvery); err != nil {
			n.m.note("deploy", "the deployment failed: "+err.Error())
		}
		changed = true
	}
	if changed {
		n.cadvisor.SetPods(slices.Clone(n.pods))
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
	n.m.beside.Go(func() {
		if sleep(ctx, 5*second) == nil {
			for _, t := range old {
				n.m.farm.Remove(t)
			}
		}
	})
	return nil
}
