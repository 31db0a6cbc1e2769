package demo

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v4/host"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "templates/*.html"))

// fragment is what every fragment of a topic says about itself.
type fragment struct {
	Topic    string
	N        uint64 // the number of its event
	Snapshot bool   // it is the state at N, not the event
}

// pageView is what the template "page" shows.
type pageView struct {
	Host      hostInfo
	Tab       string
	Stream    string // the URL of the stream, which goes on from this page
	Run       string // the log's identity: the numbers of another log begin anew
	Retention int    // pulses kept
	Keeps     string // the same, as a time
	Pulse     uint64
	MaxItem   int
	Machine   machineView
	List      listView
}

// hostInfo is what doesn't change.
type hostInfo struct{ Name, System string }

func readHost(ctx context.Context, logger *slog.Logger) hostInfo {
	h := hostInfo{System: runtime.GOOS + "/" + runtime.GOARCH}
	name, err := os.Hostname()
	if err != nil {
		logger.Warn("demo: this machine doesn't tell", "source", "name", "err", err)
		name = "this machine"
	}
	h.Name = name
	if info, err := host.InfoWithContext(ctx); err == nil && info.Platform != "" {
		h.System = fmt.Sprintf("%s %s", info.Platform, info.PlatformVersion)
	}
	return h
}

// machineView is what the template "machine" shows.
type machineView struct {
	fragment
	Host      hostInfo
	CoreCount int
	CPU       chart
	Cores     []coreView // the first maxCores
	Memory    chart
	Network   chart
	Disk      chart

	CPUNow, MemoryNow, MemoryOf string
	In, Out, Loopback           string
	Read, Write                 string
	DiskUsed, DiskTotal         string
	DiskPercent                 float64
}

// coreView is one core's own little chart.
type coreView struct {
	Number int
	Now    string
	Series series
}

// maxCores bounds the little charts: more don't fit, and each is sent every second.
const maxCores = 16

// minRate is the least height of a rate's axis: below it, noise would fill the chart.
const minRate = 10_000 // bytes a second

func appendSample(samples []sample, s sample) []sample {
	first := slices.IndexFunc(samples, func(old sample) bool { return s.At.Sub(old.At) <= chartWindow })
	if first < 0 {
		first = len(samples)
	}
	return append(slices.Clone(samples[first:]), s)
}

func newMachineView(h hostInfo, s *state, snapshot bool) machineView {
	v := machineView{fragment: fragment{topicMachine, s.machine, snapshot}, Host: h}
	if len(s.samples) == 0 {
		return v
	}
	last := s.samples[len(s.samples)-1]
	curve := func(class string, top float64, value func(*sample) float64) series {
		points := make([]point, len(s.samples))
		for i := range s.samples {
			points[i] = point{s.samples[i].At, value(&s.samples[i])}
		}
		return draw(class, last.At, top, points)
	}

	v.CoreCount = len(last.Cores)
	v.CPUNow = fmt.Sprintf("%.0f", last.CPU)
	v.CPU = chart{
		Label:  fmt.Sprintf("Processor load over the last two minutes, now %.0f percent", last.CPU),
		Scale:  []string{"100 %", "50", "0"},
		Series: []series{curve("a", 100, func(s *sample) float64 { return s.CPU })},
	}
	for i := range last.Cores[:min(len(last.Cores), maxCores)] {
		v.Cores = append(v.Cores, coreView{i, fmt.Sprintf("%.0f", last.Cores[i]), curve("a", 100, func(s *sample) float64 {
			if i < len(s.Cores) {
				return s.Cores[i]
			}
			return 0
		})})
	}

	v.MemoryNow, v.MemoryOf = bytesText(last.MemUsed), bytesText(last.MemTotal)
	v.Memory = chart{
		Label:  fmt.Sprintf("Memory in use over the last two minutes, now %s of %s", v.MemoryNow, v.MemoryOf),
		Scale:  []string{bytesText(last.MemTotal), bytesText(last.MemTotal / 2), "0"},
		Series: []series{curve("a", max(last.MemTotal, 1), func(s *sample) float64 { return s.MemUsed })},
	}

	v.In, v.Out, v.Loopback = rateText(last.NetIn), rateText(last.NetOut), rateText(last.Loopback)
	v.Network = rates(s.samples, curve, fmt.Sprintf("Network traffic over the last two minutes, now %s in and %s out", v.In, v.Out),
		func(s *sample) float64 { return s.NetIn }, func(s *sample) float64 { return s.NetOut })

	v.Read, v.Write = rateText(last.DiskRead), rateText(last.DiskWrite)
	v.Disk = rates(s.samples, curve, fmt.Sprintf("Disk traffic over the last two minutes, now %s read and %s written", v.Read, v.Write),
		func(s *sample) float64 { return s.DiskRead }, func(s *sample) float64 { return s.DiskWrite })
	v.DiskUsed, v.DiskTotal = bytesText(last.DiskUsed), bytesText(last.DiskTotal)
	if last.DiskTotal > 0 {
		v.DiskPercent = 100 * last.DiskUsed / last.DiskTotal
	}
	return v
}

// rates draws two rates on one axis that fits the larger.
func rates(samples []sample, curve func(string, float64, func(*sample) float64) series, label string, a, b func(*sample) float64) chart {
	top := 0.0
	for i := range samples {
		top = max(top, a(&samples[i]), b(&samples[i]))
	}
	top = roundUp(top, minRate)
	return chart{
		Label:  label,
		Scale:  []string{rateText(top), rateText(top / 2), "0"},
		Series: []series{curve("a", top, a), curve("b", top, b)},
	}
}

// listView is what the template "list" shows.
type listView struct {
	fragment
	Items []item
	Open  int // not done
}

func newListView(s *state, snapshot bool) listView {
	v := listView{fragment: fragment{topicList, s.list, snapshot}, Items: s.items}
	for _, it := range s.items {
		if !it.Done {
			v.Open++
		}
	}
	return v
}

// keeps writes how long a number of pulses lasts.
func keeps(pulses int, interval time.Duration) string {
	return fmt.Sprintf("%.2g minutes", (time.Duration(pulses) * interval).Minutes())
}
