// Follows a stream with the browser's own EventSource and tells the test all that it hears.
// report is a function of the test's; what is told by one page arrives in order.
"use strict"

function follow(url) {
	const source = new EventSource(url)
	const tell = e => report(JSON.stringify({
		Type: e.type, ID: e.lastEventId ?? "", Data: e.data ?? "", State: source.readyState,
	}))
	const types = ["open", "error", "message", "buffkit.open", "buffkit.gap", "buffkit.ping", "buffkit.bye", "snapshot"]
	types.forEach(type => source.addEventListener(type, tell))
	return source
}

// ?follow=URL follows at once, also after a reload.
for (const url of new URLSearchParams(location.search).getAll("follow")) follow(url)
