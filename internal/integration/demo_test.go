package integration

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// demo starts the demo and returns its address.
func demo(t *testing.T) (running *program, url string) {
	t.Helper()
	running = run(t, "demo", "--log", "memory", "--addr", net.JoinHostPort(ownHost(), "0"))
	return running, strings.TrimPrefix(awaitLine(t, &running.out, "buffkit demo: "), "buffkit demo: ")
}

// What the demo's page shows, as JavaScript. Its package comment lists what tests may rely on.
const (
	live      = `document.body.dataset.state === "live"`
	cut       = `document.body.dataset.state === "cut"`
	allIsWell = `Number(document.querySelector("#lost").dataset.value) + Number(document.querySelector("#doubled").dataset.value) === 0`
)

// count is a counter of the page.
func count(id string) string {
	return fmt.Sprintf(`Number(document.querySelector("#%s").dataset.value)`, id)
}

func (p *page) click(t *testing.T, selector string) {
	t.Helper()
	p.do(t, "click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (p *page) cutAndRestore(t *testing.T, meanwhile func()) {
	t.Helper()
	p.until(t, live)
	p.click(t, "#cut")
	p.until(t, cut)
	meanwhile()
	p.until(t, `!document.querySelector("#cut").disabled`)
	p.click(t, "#cut")
	p.until(t, live)
	p.until(t, count("missed")+` === 0`)
}

// is wants a condition to hold now.
func (p *page) is(t *testing.T, condition string) {
	t.Helper()
	holds, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](condition))
	if err != nil || !holds {
		t.Fatalf("not true: %s (%v). The page shows:\n%s", condition, err, p.text())
	}
}

func TestTheDemoLosesNothingWhenItsNetworkIsCut(t *testing.T) {
	t.Parallel()
	running, url := demo(t)
	p := openPage(t, url)
	p.until(t, live+" && "+count("received")+" >= 3")
	for range 2 {
		p.run(t, `window.before = `+count("replayed"))
		p.cutAndRestore(t, func() { p.until(t, count("missed")+" >= 4") })
		p.until(t, count("replayed")+" >= window.before + 4")
		p.is(t, `document.querySelector("#said").dataset.openState === "resumed"`)
		p.is(t, allIsWell)
	}
	p.run(t, `window.before = `+count("received"))
	p.until(t, count("received")+" >= window.before + 3") // it goes on live
	p.is(t, allIsWell+" && "+count("gaps")+" === 0")

	if err := running.kill(syscall.SIGTERM); err != nil {
		t.Errorf("the demo, stopped: %v, want exit code 0", err)
	}
}

func TestTheDemoTellsAGapAndHealsIt(t *testing.T) {
	t.Parallel()
	_, url := demo(t)
	p := openPage(t, url)
	p.until(t, live+" && "+count("received")+" >= 2")
	p.cutAndRestore(t, func() {
		p.click(t, "#overflow")
		p.until(t, count("missed")+" >= 600")
	})
	p.until(t, count("gaps")+" === 1 && "+count("healed")+" === 1 && "+count("gone")+" > 0")
	p.is(t, `document.querySelector("#said").dataset.openState === "gap"`)
	p.run(t, `window.before = `+count("received"))
	p.until(t, count("received")+" >= window.before + 3")
	p.is(t, allIsWell)
}

func TestTwoTabsOfTheDemoEditOneList(t *testing.T) {
	t.Parallel()
	_, url := demo(t)
	one := openPage(t, url)
	two := one.another(t, url)
	tabs := []*page{one, two}
	for _, p := range tabs {
		p.until(t, live)
		p.run(t, `window.loaded = true`)
	}
	add := func(p *page, text string) {
		t.Helper()
		p.do(t, "add "+text, chromedp.Steps(
			chromedp.SendKeys(chromedp.CSS("#add input"), text),
			chromedp.Click(chromedp.CSS("#add button")),
		))
	}
	shows := func(p *page, text string, done bool) {
		t.Helper()
		p.until(t, fmt.Sprintf(`[...document.querySelectorAll("#items li")].some(li => li.textContent.includes(%q) && ("done" in li.dataset) === %v)`, text, done))
	}
	tick := func(p *page, text string) {
		t.Helper()
		p.run(t, fmt.Sprintf(`[...document.querySelectorAll("#items .check")].find(b => b.textContent === %q).click()`, text))
	}
	add(one, "milk <b>")
	shows(two, "milk <b>", false)
	add(two, "bread")
	shows(one, "bread", false)
	tick(two, "milk <b>")
	shows(one, "milk <b>", true)

	// The first tab is cut off; it sees what the other did with the replay.
	one.cutAndRestore(t, func() {
		add(two, "tea")
		tick(two, "bread")
		shows(two, "tea", false)
		shows(two, "bread", true)
	})
	shows(one, "tea", false)
	shows(one, "bread", true)
	for _, p := range tabs {
		p.is(t, allIsWell+" && "+count("gaps")+" === 0 && window.loaded") // and the page was never loaded anew
	}
}
