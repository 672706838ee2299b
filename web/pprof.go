package web

import (
	"net/http"
	"net/http/pprof"
	rpprof "runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxProfile is the longest profile that one request may ask for.
const maxProfile = 10 * time.Minute

// pprof serves the runtime's profiles. There is no cmdline among them: flags can hold secrets.
func (s *Server) pprof(w http.ResponseWriter, r *http.Request) {
	var length time.Duration
	if v := r.URL.Query().Get("seconds"); v != "" {
		sec, err := strconv.ParseFloat(v, 64)
		if length = time.Duration(sec * float64(time.Second)); err != nil || !(sec >= 0) || sec > maxProfile.Seconds() {
			plain(w, http.StatusBadRequest, "seconds must be a number from 0 to "+strconv.Itoa(int(maxProfile.Seconds()))+"\n")
			return
		}
	}
	// The profile itself takes 30 s unless told otherwise.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(max(length, writeTimeout) + writeTimeout))
	switch name := r.PathValue("name"); name {
	case "":
		s.pprofIndex(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	default:
		if rpprof.Lookup(name) == nil {
			http.NotFound(w, r)
			return
		}
		pprof.Handler(name).ServeHTTP(w, r)
	}
}

type pprofPage struct {
	page
	Profiles []*rpprof.Profile
}

func (s *Server) pprofIndex(w http.ResponseWriter, r *http.Request) {
	v := pprofPage{page: s.page(r, "pprof", "Profiles"), Profiles: rpprof.Profiles()}
	v.Base = "../../"
	slices.SortFunc(v.Profiles, func(a, b *rpprof.Profile) int { return strings.Compare(a.Name(), b.Name()) })
	s.render(w, "pprof.html", v)
}
