package demo

import (
	"math"
	"time"
)

// shop writes all metrics of one moment.
type shop struct {
	w     *writer
	seed  uint64
	t     float64 // seconds since start
	start time.Time
}

func (s shop) write() {
	s.build()
	s.http()
	s.latency()
	s.business()
	s.queues()
	s.rpc()
	s.database()
	s.pods()
	s.racks()
	s.oddities()
}

func (s shop) build() {
	s.w.family("shop_build_info", "gauge", "A constant 1, labeled with the version which runs.")
	s.w.sample(1, "version", "4.2.0", "revision", "9d1f3ce", "edition", "demo")
	s.w.family("shop_start_time_seconds", "gauge", "When the shop opened, in seconds since the epoch.")
	s.w.sample(float64(s.start.UnixMilli()) / 1000)
}

// route is a way into the shop, with its average requests per second and its typical latency in seconds.
type route struct {
	handler, method string
	rate, latency   float64
}

func (r route) key() string { return r.method + " " + r.handler }

func routes() []route {
	return []route{
		{"/", "GET", 40, 0.004},
		{"/products", "GET", 25, 0.020},
		{"/products/{id}", "GET", 60, 0.012},
		{"/search", "GET", 12, 0.090},
		{"/cart", "GET", 9, 0.008},
		{"/cart", "POST", 6, 0.015},
		{"/cart/{item}", "DELETE", 1.5, 0.015},
		{"/checkout", "POST", 2, 0.220},
		{"/orders", "GET", 3, 0.035},
		{"/login", "POST", 2.5, 0.130},
	}
}

func (s shop) http() {
	codes := []struct {
		code  string
		share float64
	}{{"200", 0.955}, {"304", 0.03}, {"400", 0.006}, {"404", 0.007}, {"500", 0.0015}, {"503", 0.0005}}
	s.w.family("shop_http_requests_total", "counter", "Requests answered, by handler, method and status code.")
	for _, r := range routes() {
		for _, c := range codes {
			s.w.sample(s.count(r.key()+c.code, r.rate*c.share), "handler", r.handler, "method", r.method, "code", c.code)
		}
	}
	s.w.family("shop_http_requests_in_flight", "gauge", "Requests being answered now.")
	for _, r := range routes() {
		busy := r.rate * r.latency * 4 * s.load(r.key())
		s.w.sample(math.Floor(busy*(1+0.5*s.noise(r.key()+"/inflight", 3))), "handler", r.handler, "method", r.method)
	}
}

// latency is the histogram. Each bucket has a counter of its own, of what fell between the bound before it and its own,
// so that the cumulative counts rise with the bounds and with time.
func (s shop) latency() {
	bounds := []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, math.Inf(1)}
	s.w.family("shop_http_request_duration_seconds", "histogram", "How long requests took, in seconds.")
	for _, r := range routes() {
		var count, sum, below float64
		for _, le := range bounds {
			share := logNormal(le, r.latency, 0.8) - logNormal(below, r.latency, 0.8)
			n := s.count(r.key()+"/le/"+formatBound(le), r.rate*share)
			count += n
			if math.IsInf(le, 1) {
				sum += n * 2 * below
			} else {
				sum += n * (below + le) / 2
			}
			s.w.suffixed("_bucket", count, "handler", r.handler, "method", r.method, "le", formatBound(le))
			below = le
		}
		s.w.suffixed("_sum", sum, "handler", r.handler, "method", r.method)
		s.w.suffixed("_count", count, "handler", r.handler, "method", r.method)
	}
}

// logNormal is the share of latencies up to x, where half of them are up to median.
func logNormal(x, median, sigma float64) float64 {
	if x <= 0 {
		return 0
	}
	return 0.5 * math.Erfc(-math.Log(x/median)/(sigma*math.Sqrt2))
}

func (s shop) business() {
	countries := []struct {
		code  string
		share float64
	}{{"de", 0.34}, {"fr", 0.22}, {"it", 0.15}, {"pl", 0.12}, {"nl", 0.1}, {"at", 0.07}}
	s.w.family("shop_orders_total", "counter", "Orders placed, by country and means of payment.")
	for _, c := range countries {
		for _, payment := range []string{"card", "invoice", "wallet"} {
			name := "orders/" + c.code + payment
			s.w.sample(s.count(name, 1.8*c.share*s.spread(name, 0.1, 0.6)), "country", c.code, "payment", payment)
		}
	}
	s.w.family("shop_revenue_euros_total", "counter", "Revenue, in euros.")
	for _, c := range countries {
		name := "revenue/" + c.code
		s.w.sample(s.count(name, 100*62*c.share*s.spread(name, 0.8, 1.2))/100, "country", c.code)
	}
	s.w.family("shop_active_sessions", "gauge", "Visitors who were seen in the last minute.")
	s.w.sample(math.Floor(820*s.load("sessions") + 40*s.noise("sessions", 4)))
}

func (s shop) queues() {
	queues := []struct {
		name string
		rate float64
	}{{"email", 4}, {"invoices", 1.6}, {"search-index", 9}, {"shipping", 1.4}, {"thumbnails", 2.2}, {"webhooks", 5}}
	s.w.family("shop_queue_depth", "gauge", "Messages which wait.")
	for _, q := range queues {
		s.w.sample(math.Floor(s.backlog(q.name, q.rate)), "queue", q.name)
	}
	s.w.family("shop_queue_oldest_message_age_seconds", "gauge", "How long the oldest message has been waiting, in seconds.")
	for _, q := range queues {
		s.w.sample(round(s.backlog(q.name, q.rate)/q.rate, 2), "queue", q.name)
	}
	s.w.family("shop_queue_messages_total", "counter", "Messages taken from the queue, by what came of them.")
	for _, q := range queues {
		s.w.sample(s.count(q.name+"/ok", q.rate*0.992), "queue", q.name, "outcome", "done")
		s.w.sample(s.count(q.name+"/retry", q.rate*0.006), "queue", q.name, "outcome", "retried")
		s.w.sample(s.count(q.name+"/dead", q.rate*0.002), "queue", q.name, "outcome", "dead")
	}
}

// backlog rises with the square of the load: queues are short until their workers are busy.
func (s shop) backlog(queue string, rate float64) float64 {
	l := s.load(queue)
	return max(0, rate*(2*l*l+1.5*s.noise(queue+"/backlog", 6)))
}

// rpc is the summary.
func (s shop) rpc() {
	services := []struct {
		name           string
		rate, latencyS float64
	}{{"catalog", 80, 0.003}, {"payment", 2, 0.18}, {"pricing", 45, 0.002}, {"stock", 30, 0.006}}
	s.w.family("shop_rpc_duration_seconds", "summary", "How long calls of other services took, in seconds.")
	for _, v := range services {
		slow := v.latencyS * (0.6 + 0.4*s.load(v.name)) * (1 + 0.1*s.noise(v.name, 5))
		for _, q := range []struct{ quantile, factor float64 }{{0.5, 1}, {0.9, 2.8}, {0.99, 6.5}} {
			s.w.sample(round(slow*q.factor, 6), "service", v.name, "quantile", formatBound(q.quantile))
		}
		n := s.count(v.name+"/calls", v.rate)
		s.w.suffixed("_sum", n*v.latencyS*1.3, "service", v.name)
		s.w.suffixed("_count", n, "service", v.name)
	}
}

func (s shop) database() {
	const maxConnections = 50
	pools := []string{"orders", "products", "users"}
	s.w.family("shop_db_connections", "gauge", "Connections to the database, by pool and state.")
	for _, p := range pools {
		active := math.Floor(min(maxConnections, 12*s.load("db/"+p)*s.spread(p, 0.7, 1.6)))
		s.w.sample(active, "pool", p, "state", "active")
		s.w.sample(maxConnections-active, "pool", p, "state", "idle")
	}
	s.w.family("shop_db_queries_total", "counter", "Queries, by pool and kind.")
	for _, p := range pools {
		for _, kind := range []string{"select", "insert", "update"} {
			name := "queries/" + p + kind
			s.w.sample(s.count(name, s.spread(name, 2, 120)), "pool", p, "kind", kind)
		}
	}
	s.w.family("shop_cache_requests_total", "counter", "Look-ups in the caches, by result.")
	for _, c := range []string{"pages", "prices", "sessions"} {
		rate := s.spread("cache/"+c, 30, 200)
		hits := s.spread("hits/"+c, 0.75, 0.98)
		s.w.sample(s.count(c+"/hit", rate*hits), "cache", c, "result", "hit")
		s.w.sample(s.count(c+"/miss", rate*(1-hits)), "cache", c, "result", "miss")
	}
}

func (s shop) racks() {
	s.w.family("shop_rack_temperature_celsius", "gauge", "Temperature by rack and sensor.")
	for _, rack := range []string{"a1", "a2", "b1", "b2"} {
		for _, sensor := range []struct {
			name string
			base float64
		}{{"inlet", 21}, {"middle", 27}, {"outlet", 34}} {
			name := rack + sensor.name
			warmth := (sensor.base - 20) * 0.25 * s.load("heat")
			s.w.sample(round(sensor.base+s.spread(name, -1, 1)+warmth+0.4*s.noise(name, 15), 1), "rack", rack, "sensor", sensor.name)
		}
	}
	s.w.family("shop_rack_fan_rpm", "gauge", "Speed of the fans, in rotations per minute.")
	for _, rack := range []string{"a1", "a2", "b1", "b2"} {
		s.w.sample(10*math.Floor(280+90*s.load("heat")+20*s.noise("fan"+rack, 4)), "rack", rack)
	}
}

// oddities are what a scraper must get right although few exporters write it.
func (s shop) oddities() {
	s.w.family("shop_last_import_info", "gauge", "The last import.\nIts label values hold what must be escaped: \\, \" and a line break.")
	s.w.sample(1, "path", `C:\imports\new`, "title", "the \"big\"\nwinter sale", "owner", "Zoë")
	s.w.family("shop_rate_limit_requests", "gauge", "Requests per second that a tenant may make.")
	s.w.sample(100, "tenant", "partner")
	s.w.sample(math.Inf(1), "tenant", "internal")
	s.w.family("shop_price_change_ratio", "gauge", "Today's change of the average price; not a number while no price was set today.")
	s.w.sample(round(0.02*s.noise("price", 20), 4), "category", "books")
	s.w.sample(math.NaN(), "category", "vinyl")
	s.w.family("shop_legacy_stock", "untyped", "Items in stock, as the old system reports them.")
	s.w.sample(math.Floor(5000+800*s.noise("stock", 30)), "warehouse", "north")
	s.w.sample(math.Floor(3000+500*s.noise("stock2", 30)), "warehouse", "south")
}
