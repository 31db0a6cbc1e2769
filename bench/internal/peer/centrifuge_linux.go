package peer

import (
	"encoding/json"
	"net/url"
)

// centrifugePeer is a program of its own, bench/centrifuge: what it is linked with would be in the memory of all others.
var centrifugePeer = Peer{
	Name: "centrifuge", Title: "centrifuge 0.38, SSE", Resumes: true, Many: true, Pace: 67e3,
	// It could follow several. But a connect with several subscriptions that recover can lock up with a publish: the connect holds one
	// client's lock and waits for a shard's, the publish holds the shard's and waits for the client's.
	OneTopic: true,
	Prepare:  built("centrifuge", false),
	request:  centrifugeRequest,
}

// centrifugeRequest puts the connect command into the URL. The library's own client resumes with the offset of the last
// publication and the epoch that it was told; with one publication an event, the offset is the number of events it has had.
func centrifugeRequest(a Asking) string {
	connect := map[string]any{}
	if a.Next > 0 && a.Epoch != "" {
		connect["subs"] = map[string]any{a.Topics[0]: map[string]any{"recover": true, "epoch": a.Epoch, "offset": a.Next}}
	}
	command, err := json.Marshal(map[string]any{"id": 1, "connect": connect})
	if err != nil {
		panic(err) // a map of strings and numbers
	}
	return "/events?" + url.Values{"topic": a.Topics, "cf_connect": {string(command)}}.Encode() + "\r\n"
}
