package demo

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// sample is what the machine did at one moment. Rates are bytes per second since the sample before.
type sample struct {
	At                  time.Time
	CPU                 float64   // percent, the mean of all cores
	Cores               []float64 // percent of each
	MemUsed, MemTotal   float64   // bytes
	DiskUsed, DiskTotal float64   // bytes of the root file system
	DiskRead, DiskWrite float64   // all disks
	NetIn, NetOut       float64   // all interfaces but loopback and those that only stand for others
	Loopback            float64   // the demo's own stream is in it
}

// sampler turns the machine's running counters into rates. One goroutine uses it.
type sampler struct {
	logger *slog.Logger
	silent map[string]bool // the sources that failed, each logged once; their numbers stay zero
	before counters
}

// counters only ever go up.
type counters struct {
	at                  time.Time
	cores               []coreTimes
	diskRead, diskWrite uint64
	netIn, netOut, loop uint64
}

// coreTimes are the seconds a core was busy, and all its seconds.
type coreTimes struct{ busy, all float64 }

// newSampler counts once, so that the first sample has something to differ from.
func newSampler(ctx context.Context, logger *slog.Logger) *sampler {
	s := &sampler{logger: logger, silent: make(map[string]bool)}
	s.before = s.count(ctx)
	return s
}

func (s *sampler) sample(ctx context.Context) sample {
	before, now := s.before, s.count(ctx)
	s.before = now
	seconds := max(now.at.Sub(before.at).Seconds(), 0.001)
	rate := func(now, before uint64) float64 {
		if now < before { // a disk or an interface has gone, with its count
			return 0
		}
		return float64(now-before) / seconds
	}
	out := sample{
		At:        now.at,
		DiskRead:  rate(now.diskRead, before.diskRead),
		DiskWrite: rate(now.diskWrite, before.diskWrite),
		NetIn:     rate(now.netIn, before.netIn),
		NetOut:    rate(now.netOut, before.netOut),
		Loopback:  rate(now.loop, before.loop),
	}
	out.CPU, out.Cores = load(now.cores, before.cores)
	if memory, err := mem.VirtualMemoryWithContext(ctx); s.works("memory", err) {
		out.MemUsed, out.MemTotal = float64(memory.Total-memory.Available), float64(memory.Total)
	}
	if usage, err := disk.UsageWithContext(ctx, rootPath()); s.works("file system", err) {
		out.DiskUsed, out.DiskTotal = float64(usage.Used), float64(usage.Used+usage.Free)
	}
	return out
}

// load returns the mean and each core's share of busy time, in percent.
func load(now, before []coreTimes) (mean float64, cores []float64) {
	if len(now) == 0 || len(now) != len(before) { // cores come and go on some machines
		return 0, make([]float64, len(now))
	}
	cores = make([]float64, len(now))
	for i := range now {
		busy, all := now[i].busy-before[i].busy, now[i].all-before[i].all
		if all > 0 {
			cores[i] = min(max(100*busy/all, 0), 100)
		}
		mean += cores[i] / float64(len(now))
	}
	return mean, cores
}

func (s *sampler) count(ctx context.Context) counters {
	c := counters{at: time.Now()}
	if times, err := cpu.TimesWithContext(ctx, true); s.works("processor", err) {
		for _, t := range times {
			idle := t.Idle + t.Iowait
			busy := t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal // guest time is in user time
			c.cores = append(c.cores, coreTimes{busy, busy + idle})
		}
	}
	if disks, err := disk.IOCountersWithContext(ctx); s.works("disk", err) {
		for name, d := range disks {
			if isWholeDisk(name, disks) {
				c.diskRead += d.ReadBytes
				c.diskWrite += d.WriteBytes
			}
		}
	}
	if interfaces, err := net.IOCountersWithContext(ctx, true); s.works("network", err) {
		for _, n := range interfaces {
			switch {
			case isLoopback(n.Name):
				c.loop += n.BytesRecv
			case !standsForAnother(n.Name):
				c.netIn += n.BytesRecv
				c.netOut += n.BytesSent
			}
		}
	}
	return c
}

func (s *sampler) works(source string, err error) bool {
	if err != nil && !s.silent[source] {
		s.silent[source] = true
		s.logger.Warn("demo: this machine doesn't tell", "source", source, "err", err)
	}
	return err == nil
}

// Bytes that pass a partition, a loop device or a mapped volume pass the disk beneath as well.
var (
	partition     = regexp.MustCompile(`^(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+)\d+$|^(nvme\d+n\d+|mmcblk\d+)p\d+$`)
	notADisk      = regexp.MustCompile(`^(loop|ram|zram|dm-|md|sr|fd)\d`)
	virtualPrefix = []string{"veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "ifb", "bond", "utun", "awdl", "llw"}
)

func isWholeDisk(name string, all map[string]disk.IOCountersStat) bool {
	if notADisk.MatchString(name) {
		return false
	}
	parent := partition.FindStringSubmatch(name)
	if parent == nil {
		return true
	}
	_, counted := all[parent[1]+parent[2]] // a container may show the partition alone
	return !counted
}

func isLoopback(name string) bool {
	return name == "lo" || name == "lo0" || strings.HasPrefix(name, "Loopback")
}

func standsForAnother(name string) bool {
	for _, prefix := range virtualPrefix {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func rootPath() string {
	if runtime.GOOS == "windows" {
		return os.Getenv("SystemDrive") + `\`
	}
	return "/"
}
