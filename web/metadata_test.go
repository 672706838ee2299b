package web

import (
	"iter"
	"net/http"
	"net/url"
	"testing"

	"scraper/relabel"
	"scraper/scrape"
)

// metadataOptions are two targets and what they say; they agree on up and differ on load.
func metadataOptions() Options {
	label := func(name, value string) relabel.Label { return relabel.Label{Name: name, Value: value} }
	return Options{
		Targets: func() scrape.Snapshot {
			return scrape.Snapshot{Targets: []scrape.TargetStatus{
				{ID: 1, Job: "a", Labels: []relabel.Label{label("instance", "a:1"), label("job", "a")}},
				{ID: 2, Job: "b", Labels: []relabel.Label{label("instance", "b:1"), label("job", "b")}},
			}}
		},
		Metadata: func() iter.Seq2[uint64, []scrape.Metadata] {
			return func(yield func(uint64, []scrape.Metadata) bool) {
				_ = yield(1, []scrape.Metadata{{Family: "up", Type: "gauge", Help: "Up \"or\" not."}, {Family: "load", Type: "gauge"}}) &&
					yield(2, []scrape.Metadata{{Family: "up", Type: "gauge", Help: "Up \"or\" not."}, {Family: "load", Type: "counter", Unit: "s"}}) &&
					yield(3, []scrape.Metadata{{Family: "of", Type: "gauge", Help: "a target which is gone"}})
			}
		},
	}
}

func checkJSON(t *testing.T, s *Server, path, want string) {
	t.Helper()
	if got := text(t, ask(t, s, local, "GET", path, "")); got != want+"\n" {
		t.Errorf("%s:\n got %s\nwant %s", path, got, want)
	}
}

func TestMetadataAPI(t *testing.T) {
	s := newServer(t, metadataOptions())
	up := `{"type":"gauge","help":"Up \"or\" not.","unit":""}`
	load := `[{"type":"counter","help":"","unit":"s"},{"type":"gauge","help":"","unit":""}]`
	of := `"of":[{"type":"gauge","help":"a target which is gone","unit":""}]`
	for _, tt := range []struct{ query, want string }{
		{"", `{"status":"success","data":{"load":` + load + `,` + of + `,"up":[` + up + `]}}`},
		{"metric=up", `{"status":"success","data":{"up":[` + up + `]}}`},
		{"metric=none", `{"status":"success","data":{}}`},
		{"limit=1", `{"status":"success","data":{"load":` + load + `}}`},
		{"limit=0&limit_per_metric=1&metric=load", `{"status":"success","data":{"load":[{"type":"counter","help":"","unit":"s"}]}}`},
		{"limit=x", `{"status":"error","errorType":"bad_data","error":"limit must be a number"}`},
	} {
		checkJSON(t, s, "/api/v1/metadata?"+tt.query, tt.want)
	}
}

func TestTargetsMetadataAPI(t *testing.T) {
	s := newServer(t, metadataOptions())
	a, b := `"target":{"instance":"a:1","job":"a"}`, `"target":{"instance":"b:1","job":"b"}`
	up := `"type":"gauge","help":"Up \"or\" not.","unit":""}`
	for _, tt := range []struct{ match, query, want string }{
		{"", "metric=up", `{"status":"success","data":[{` + a + `,` + up + `,{` + b + `,` + up + `]}`},
		{"", "limit=1", `{"status":"success","data":[{` + a + `,"metric":"up",` + up + `]}`},
		{`{job="b"}`, "metric=up", `{"status":"success","data":[{` + b + `,` + up + `]}`},
		{`{ job =~ "a|x" , instance!="b:1" ,}`, "metric=up", `{"status":"success","data":[{` + a + `,` + up + `]}`},
		{`{job!~".*"}`, "", `{"status":"success","data":[]}`},
		{`{none="",job="a"}`, "metric=up", `{"status":"success","data":[{` + a + `,` + up + `]}`},
		{`{job="b"`, "", `{"status":"error","errorType":"bad_data","error":"bad selector: no } at the end at \"\""}`},
		{`job="b"`, "", `{"status":"error","errorType":"bad_data","error":"bad selector: no { at \"job=\\\"b\\\"\""}`},
		{`{job="b",,}`, "", `{"status":"error","errorType":"bad_data","error":"bad selector: no label name and operator at \",}\""}`},
		{`{}`, "", `{"status":"error","errorType":"bad_data","error":"bad selector: no condition in {}"}`},
		{`{job=b}`, "", `{"status":"error","errorType":"bad_data","error":"bad selector: no quoted value at \"b}\""}`},
	} {
		checkJSON(t, s, "/api/v1/targets/metadata?"+tt.query+"&match_target="+url.QueryEscape(tt.match), tt.want)
	}
	if res := ask(t, s, local, "GET", "/api/v1/targets/metadata?match_target="+url.QueryEscape(`{job=~"("}`), ""); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a bad expression gives %d", res.StatusCode)
	}
}
