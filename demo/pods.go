package demo

import (
	"math"
	"time"
)

const (
	// podTurnover is the time between two replacements anywhere in the fleet: often enough that one is seen while
	// somebody looks, seldom enough that series live for many scrapes.
	podTurnover = 40 * time.Second
	// replicas is the number of pods of each deployment.
	replicas = 3
)

// pod is one of the fleet at a moment.
type pod struct {
	deployment, name, node string
	born                   float64 // seconds since the shop's start; its counters were 0 then
	age                    float64 // seconds
	restarts               float64
}

// fleet returns the pods of the moment. Every podTurnover the next place in the fleet gets a new pod.
func (s shop) fleet() []pod {
	deployments := []string{"cart", "checkout", "frontend", "worker"}
	places := len(deployments) * replicas
	life := podTurnover.Seconds() * float64(places)
	var pods []pod
	for i := range places {
		d := deployments[i%len(deployments)]
		// Those of generation 0 were born with the shop; places are renewed one after another, the last one first.
		generation := math.Floor((s.t + float64(i)*podTurnover.Seconds()) / life)
		born := max(0, generation*life-float64(i)*podTurnover.Seconds())
		id := hash(s.seed, d, int64(generation)*int64(places)+int64(i))
		pods = append(pods, pod{
			deployment: d,
			name:       d + "-" + podID(hash(s.seed, d, -1), 9) + "-" + podID(id, 5),
			node:       "node-" + string('a'+rune(id%4)),
			born:       born,
			age:        s.t - born,
			restarts:   float64(id >> 32 % 3),
		})
	}
	return pods
}

// podID turns a hash into n characters, as in the names of pods: without vowels.
func podID(h uint64, n int) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	id := make([]byte, n)
	for i := range id {
		id[i] = alphabet[h%uint64(len(alphabet))]
		h /= uint64(len(alphabet))
	}
	return string(id)
}

func (s shop) pods() {
	fleet := s.fleet()
	// since counts from the birth of the pod, since its process did.
	since := func(p pod, what string, rate float64) float64 {
		return rate * (s.work(p.name+what, s.t) - s.work(p.name+what, p.born))
	}
	for _, f := range []struct {
		name, kind, help string
		value            func(p pod) float64
	}{
		{"shop_pod_cpu_seconds_total", "counter", "CPU time used, in seconds.", func(p pod) float64 {
			return math.Floor(100*since(p, "cpu", 0.35)) / 100
		}},
		{"shop_pod_memory_working_set_bytes", "gauge", "Memory in use, in bytes.", func(p pod) float64 {
			warm := 1 - math.Exp(-p.age/60)
			return 4096 * math.Floor((40e3+30e3*warm)*s.spread(p.name, 0.8, 1.2)*(1+0.04*s.noise(p.name, 7)))
		}},
		{"shop_pod_network_receive_bytes_total", "counter", "Bytes received.", func(p pod) float64 {
			return math.Floor(since(p, "rx", 48e3))
		}},
		{"shop_pod_network_transmit_bytes_total", "counter", "Bytes sent.", func(p pod) float64 {
			return math.Floor(since(p, "tx", 210e3))
		}},
		{"shop_pod_restarts_total", "counter", "Restarts of the pod's container.", func(p pod) float64 { return p.restarts }},
		{"shop_pod_start_time_seconds", "gauge", "When the pod started, in seconds since the epoch.", func(p pod) float64 {
			return float64(s.start.UnixMilli())/1000 + p.born
		}},
	} {
		s.w.family(f.name, f.kind, f.help)
		for _, p := range fleet {
			s.w.sample(f.value(p), "deployment", p.deployment, "pod", p.name, "node", p.node)
		}
	}
}
