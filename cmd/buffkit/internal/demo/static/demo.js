// The page's own script. htmx reads the stream and swaps the fragments; this counts what arrives, by the numbers that the
// events carry, and drives the two switches. It believes the server only where it says "gap".
'use strict'

const $ = id => document.getElementById(id)
const body = document.body
const stream = $('stream')
const tab = body.dataset.tab
const topics = ['pulse', 'machine', 'list']

// ---- What came, and what should have come ----

// For each topic: last is the number of the last event that came, null if none has since the page was rendered or a gap was
// told; base is the number of the state that the page or the snapshot showed, so the next event may be base + 1 or a
// repeat of what that state holds already, and nothing beyond.
const seen = Object.fromEntries(topics.map(topic => [topic, {last: null, base: null, goneAfter: null}]))
seen.pulse.base = Number(body.dataset.pulse)
for (const mark of document.querySelectorAll('[data-topic]')) seen[mark.dataset.topic].base = Number(mark.dataset.n)

const count = {received: 0, lost: 0, doubled: 0, missed: 0, replayed: 0, gaps: 0, gone: 0, healed: 0}
let head = null        // how far the server was, when last asked
let replaying = 0      // events that still come as replay
let toHeal = new Set() // topics of the last gap whose snapshot hasn't come

// receive takes an event. It returns false for one that came before.
function receive(topic, n) {
  const t = seen[topic]
  if (t.last !== null && n <= t.last) {
    count.doubled++
    return false
  }
  const known = t.last ?? t.base // null after a gap that nobody healed
  if (known !== null && n > known + 1) count.lost += n - known - 1
  if (t.goneAfter !== null) {
    count.gone += Math.max(0, n - t.goneAfter - 1)
    t.goneAfter = null
  }
  t.last = n
  count.received++
  if (replaying > 0) {
    replaying--
    count.replayed++
    if (topic === 'pulse') mark(n, 'replayed')
    if (replaying === 0) note('replayed', `all of it has come: ${count.lost} lost, ${count.doubled} doubled`)
  } else if (topic === 'pulse') mark(n, 'live')
  return true
}

// heal takes a snapshot: how a topic stood at n.
function heal(topic, n) {
  const t = seen[topic]
  t.base = n
  if (topic === 'pulse' && t.goneAfter !== null) {
    for (let i = Math.max(t.goneAfter + 1, n - tiles + 1); i <= n; i++) mark(i, 'healed')
  }
  note('snapshot', `${topic} as it stood after event ${n}`)
  if (toHeal.delete(topic) && toHeal.size === 0) count.healed++
}

// gap takes the gaps that the server tells: from here on a topic begins anew.
function gap(gaps) {
  count.gaps++
  toHeal = new Set()
  for (const {topic, reason} of gaps) {
    const t = seen[topic]
    if (!t) continue // one that isn't shown
    // Another log counts anew, so how many events are gone can't be known.
    t.goneAfter = reason === 'other_log' || reason === 'rolled_back' ? null : t.last ?? t.base
    if (t.goneAfter === null && topic === 'pulse') clearTape()
    t.last = t.base = null
    toHeal.add(topic)
  }
  head = null
}

function countMissed() {
  count.missed = 0
  if (!head) return
  for (const topic of topics) {
    const known = seen[topic].last ?? seen[topic].base
    if (known !== null) count.missed += Math.max(0, head[topic] - known)
  }
}

// ---- The stream, as htmx sees it ----

stream.addEventListener('htmx:sse:before:message', event => {
  const {event: name, data, id} = event.detail.message
  if (id) lastID = id
  if (name.startsWith('buffkit.')) control(name, data)
  else if (name === 'pulse') {
    const {n, snapshot} = JSON.parse(data)
    snapshot ? heal('pulse', n) : receive('pulse', n)
  } else {
    // A fragment of HTML. The first number in it is the server's: what people typed is escaped, and comes after it.
    const [, topic, n, snapshot] = data.match(/data-topic="(\w+)" data-n="(\d+)"( data-snapshot)?/)
    if (snapshot) heal(topic, Number(n))
    else if (!receive(topic, Number(n))) event.preventDefault()
  }
  show()
})

function control(name, data) {
  note(name, data)
  if (name === 'buffkit.open') {
    const open = JSON.parse(data)
    attempts = 0
    replaying = open.replay ?? 0
    filling = 0
    if (open.state === 'gap') gap(open.gaps)
    setState('live')
    say(open)
  } else if (name === 'buffkit.gap') gap(JSON.parse(data).gaps)
}

let attempts = 0 // to reconnect
stream.addEventListener('htmx:sse:before:connection', event => {
  if (event.detail.connection.attempt === 0) return // the first
  if (attempts === 0) note('broken', 'the stream has ended; htmx waits, and asks again')
  if (body.dataset.state === 'live') setState('reconnecting')
})
stream.addEventListener('htmx:sse:error', event => {
  if (event.detail.connection?.attempt === 0) return // the open stream broke
  attempts++
  const text = `${attempts}: ${event.detail.error.message}`
  const last = $('wire').firstElementChild
  if (last?.dataset.event === 'attempt') last.remove()
  note('attempt', text)
})

// htmx reconnects a stream that was open once, for ever. These are the cases that it leaves to the page: the first request
// fails, or the stream ends for good. A new stream goes on after the last event too.
let lastID = ''
const startAgain = () => setTimeout(() => stream._htmx?.sse || htmx.trigger(stream, 'reconnect'), 2000)
stream.addEventListener('htmx:error', startAgain)
stream.addEventListener('htmx:sse:close', startAgain)
stream.addEventListener('htmx:config:request', event => {
  if (lastID) event.detail.ctx.request.headers['Last-Event-ID'] = lastID
})
document.addEventListener('visibilitychange', () => {
  note('tab', document.hidden ? 'hidden: htmx gives the connection back' : 'shown: htmx asks again')
})

// ---- The switches ----

const post = (path, values) => fetch(path, {method: 'POST', body: new URLSearchParams({tab, ...values})})

$('cut').addEventListener('click', async () => {
  const before = body.dataset.state
  const cut = before !== 'cut'
  $('cut').disabled = true
  note(cut ? 'cut' : 'restored', cut ? 'the server resets this tab’s connections' : 'the server lets this tab through again')
  if (!cut) setState('reconnecting') // now: the stream may be open again before this answer comes
  try {
    const answer = await post('/network', {state: cut ? 'cut' : 'restored'})
    if (!answer.ok) throw new Error(await answer.text())
    if (cut) setState('cut')
  } catch (error) {
    note('error', `the switch didn’t work: ${error.message}`)
    if (!cut) setState(before)
  } finally {
    $('cut').disabled = false
  }
})

$('overflow').addEventListener('click', async () => {
  try {
    const answer = await post('/overflow')
    if (!answer.ok) throw new Error(await answer.text())
    const {published, kept} = await answer.json()
    note('overflow', `${published} pulses published at once; the history keeps ${kept}`)
  } catch (error) {
    note('error', `the overflow didn’t work: ${error.message}`)
  }
})

document.addEventListener('htmx:after:request', event => {
  if (event.target.id === 'add' && event.detail.ctx.response.status < 400) event.target.reset()
})

// While the stream is down, ask how far the server is.
async function watch() {
  while (true) {
    await new Promise(resolve => setTimeout(resolve, 400))
    if (body.dataset.state !== 'cut' && body.dataset.state !== 'reconnecting') continue
    try {
      const now = await (await fetch(`/head?tab=${tab}`)).json()
      const state = body.dataset.state
      if (state === 'live') continue // it came back meanwhile
      $('refused').textContent = now.refused
      if (state === 'cut' && !now.cut) setState('reconnecting') // the server was restarted, and has forgotten
      if (now.run !== body.dataset.run) {
        body.dataset.run = now.run
        note('restart', 'another server answers: it counts anew')
        head = null
      } else if (seen.pulse.last === null || now.pulse >= seen.pulse.last) head = now
      markMissed()
      show()
    } catch {
      // nobody is there: the status says so already
    }
  }
}

// ---- What is shown ----

const words = {
  connecting: 'connecting',
  live: 'live',
  cut: 'network cut',
  reconnecting: 'reconnecting',
}

function setState(state) {
  if (body.dataset.state === state) return
  body.dataset.state = state
  $('status').textContent = words[state]
  $('cut').textContent = state === 'cut' ? 'Restore the network' : 'Cut the network'
  $('cut').setAttribute('aria-pressed', state === 'cut')
  $('overflow').disabled = state !== 'cut'
  if (state === 'live') head = null
  show()
}

let drawn = false
function show() {
  if (drawn) return
  drawn = true
  requestAnimationFrame(() => {
    drawn = false
    countMissed()
    for (const [id, value] of Object.entries(count)) {
      if ($(id).dataset.value === String(value)) continue
      $(id).dataset.value = value
      $(id).textContent = value.toLocaleString('en').replaceAll(',', '\u202f')
    }
  })
}

function say({state, replay, gaps}) {
  const said = $('said')
  said.dataset.openState = state
  said.dataset.openReplay = replay ?? 0
  const what = {
    fresh: 'a new stream, from now on',
    resumed: `resumed, ${replay ?? 0} replayed${count.received ? '' : ' since the page was made'}`,
    gap: `gap on ${gaps?.filter(g => seen[g.topic]).map(g => `${g.topic} (${g.reason})`).join(', ')}, ${replay ?? 0} others replayed`,
  }[state]
  said.textContent = `buffkit.open said: ${what}`
}

// The tape: the last pulses, each at its number's own place, so that a missed one is filled where it was missed.
const tiles = 120 // half a minute; divides into 30, 20 and 10 columns
const ahead = 3   // tiles before the newest that are blank, so that one sees where the newest is
const tape = $('tape')
for (let i = 0; i < tiles; i++) tape.append(document.createElement('li'))

let newest = null
let filling = 0 // replayed tiles so far: each begins its animation a little later
function mark(n, how) {
  const tile = tape.children[n % tiles]
  if (how === 'missed' && Number(tile.dataset.n) === n) return
  tile.dataset.n = n
  tile.dataset.how = how
  tile.textContent = String(n).slice(-4)
  tile.style.setProperty('--turn', how === 'replayed' ? filling++ : 0)
  if (newest !== null && n < newest) return
  tape.querySelector('.newest')?.classList.remove('newest')
  tile.classList.add('newest')
  newest = n
  for (let i = 1; i <= ahead; i++) clearTile(tape.children[(n + i) % tiles])
}

function clearTile(tile) {
  tile.textContent = ''
  delete tile.dataset.n
  delete tile.dataset.how
}

function clearTape() {
  newest = null
  for (const tile of tape.children) clearTile(tile)
}

function markMissed() {
  const from = seen.pulse.last ?? seen.pulse.base
  if (!head || from === null) return
  for (let n = Math.max(from + 1, head.pulse - tiles + 1); n <= head.pulse; n++) mark(n, 'missed')
}

// The wire: what is not an event of the app.
const lines = 60
function note(name, text) {
  const line = document.createElement('li')
  line.dataset.event = name
  const time = document.createElement('time')
  time.textContent = new Date().toTimeString().slice(0, 8)
  const label = document.createElement('b')
  label.textContent = name
  const detail = document.createElement('span')
  detail.textContent = text
  line.append(time, label, detail)
  $('wire').prepend(line)
  while ($('wire').children.length > lines) $('wire').lastElementChild.remove()
}

watch()
