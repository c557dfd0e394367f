package console

import (
	"net/http"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

// serviceData is what has been going on, as plots.
type serviceData struct {
	*client.Activity
	Open                         int
	States                       []counted // of alerts that wait
	Waiting                      string    // how long the oldest one has waited
	Decided                      []counted
	Right, Wrong                 int // of the decisions, how many say that the match was right, and that it was not
	Posts, LookUps, Growth       plot
	Verdicts                     []counted
	PostsAMinute, LookUpsAMinute int
	Index                        *client.IndexStats // for those who may see it
}

// counted is a value of the API and how often it occurs.
type counted struct {
	Name  string
	Count int
}

// plot is bars beside each other, in a box of a thousand by a hundred.
type plot struct {
	Bars        []bar
	Most, Total int
	First, Last string
}

type bar struct {
	X, Width, Y, Height float64
	What                string
}

func newPlot(counts []int, labels []string) plot {
	p := plot{}
	for _, n := range counts {
		p.Most, p.Total = max(p.Most, n), p.Total+n
	}
	if len(counts) == 0 {
		return p
	}
	p.First, p.Last = labels[0], labels[len(labels)-1]
	step := 1000 / float64(len(counts))
	for i, n := range counts {
		b := bar{X: float64(i) * step, Width: max(step-2, 1)}
		if n > 0 {
			b.Height = max(100*float64(n)/float64(p.Most), 1)
		}
		b.Y, b.What = 100-b.Height, labels[i]
		p.Bars = append(p.Bars, b)
	}
	return p
}

func servicePage(v *visit) error {
	a, err := v.api.Activity(v.ctx())
	if err != nil {
		return err
	}
	d := serviceData{Activity: a}
	for _, s := range states {
		if n := a.Alerts.Open[string(s)]; n > 0 {
			d.States, d.Open = append(d.States, counted{v.Label(s), n}), d.Open+n
		}
		if n := a.Alerts.Decided[string(s)]; n > 0 {
			d.Decided = append(d.Decided, counted{v.Label(s), n})
		}
	}
	d.Right = a.Alerts.Decided["confirmed"] + a.Alerts.Decided["authorized"] + a.Alerts.Decided["legal_review"]
	d.Wrong = a.Alerts.Decided["false_match"]
	if !a.Alerts.OldestOpenAt.IsZero() {
		d.Waiting = v.Seconds(time.Since(a.Alerts.OldestOpenAt).Seconds())
	}
	var counts []int
	var labels []string
	for _, day := range a.Documents.Registered {
		counts, labels = append(counts, day.Documents), append(labels, day.At.Format("2006-01-02"))
	}
	d.Growth = newPlot(counts, labels)
	if a.Service != nil {
		d.service(v, a.Service)
	}
	if v.May() && v.Everywhere() {
		if d.Index, err = v.api.IndexStats(v.ctx()); err != nil {
			return err
		}
	}
	return v.show(http.StatusOK, "service", v.T("Service"), d)
}

// service adds what is counted of the whole service.
func (d *serviceData) service(v *visit, s *client.ServiceActivity) {
	sum := func(counts map[string]int) (all int) {
		for _, n := range counts {
			all += n
		}
		return all
	}
	var posts, lookUps []int
	var hours []string
	verdicts := map[string]int{}
	for _, h := range s.Hours {
		hours, posts, lookUps = append(hours, h.At.Format("15:04")), append(posts, sum(h.Posts)), append(lookUps, sum(h.LookUps))
		for _, counts := range []map[string]int{h.Posts, h.LookUps} {
			for verdict, n := range counts {
				verdicts[verdict] += n
			}
		}
	}
	d.Posts, d.LookUps = newPlot(posts, hours), newPlot(lookUps, hours)
	for _, name := range []string{"unauthorized", "authorized", "public", "incomplete", "unreadable", "too_short", "no_match"} {
		if n := verdicts[name]; n > 0 {
			d.Verdicts = append(d.Verdicts, counted{v.Label(name), n})
		}
	}
	if n := len(s.Minutes); n > 1 { // the last minute that is over
		d.PostsAMinute, d.LookUpsAMinute = sum(s.Minutes[n-2].Posts), sum(s.Minutes[n-2].LookUps)
	}
}
