package lexer

import (
	"fmt"
	"strings"
)

// mysqlBody knows the stored programs of MySQL and MariaDB (procedures, functions, triggers, events) and MariaDB's compound
// statements outside of them. Almost no word of theirs is reserved: a column may be named "end", and IF and REPEAT are functions
// too. So it follows where a statement within the body begins; there alone BEGIN, IF, LOOP and END mean blocks. The END of a CASE
// expression comes where an operand is complete.
type mysqlBody struct {
	maria  bool
	state  mysqlState
	kind   keyword // procedure, function, trigger, event; package, of Oracle's mode, whose body isn't followed
	ready  bool    // the head may end here: the next word may begin the body
	parens int     // open ones of the head
	blocks []block
	closed block // by the END right before

	// Of the statement within the body, or of the whole one.
	tokens  int  // seen of it; a label may set it back to 0
	first   bool // the next token begins a statement
	ended   bool // it began with END: IF and the like after it name what ends
	until   bool // it is UNTIL …
	cases   int  // open CASE expressions
	handler handlerState

	prev     keyword
	operand  bool // the last token completes an operand
	nameNext bool // the last token was a dot
}

// block is an open one.
type block struct {
	word keyword // begin, if, case, loop, repeat, while, for
	at   int
	head bool // of while and for: DO is still to come
}

type mysqlState uint8

const (
	myStart   mysqlState = iota
	myPlain              // nothing to follow
	myCreate             // CREATE, up to the word that says what
	myDefiner            // DEFINER = user
	myUser               // behind the user's name, or its first half
	myHead               // CREATE PROCEDURE and the like, up to the body
	mySingle             // a body without a block
	myBody               // in a block
	myEnded              // behind the END of the last block
	myBegin              // BEGIN at the start: MariaDB's compound statement if NOT ATOMIC follows
)

// handlerState follows DECLARE … HANDLER FOR condition, …: after the conditions comes a statement.
type handlerState uint8

const (
	noHandler    handlerState = iota
	declareSeen               // DECLARE
	declareKind               // DECLARE EXIT
	declareWord               // DECLARE EXIT HANDLER
	wantsMore                 // a condition is to come
	hasCondition              // a comma or the statement is to come
)

func (b *mysqlBody) reset() { *b = mysqlBody{maria: b.maria, blocks: b.blocks[:0]} }

func (b *mysqlBody) code(kind Kind, text []byte, at int) *fault {
	if b.state == myPlain && b.tokens > 1 || kind == CondOpen || kind == CondClose {
		return nil
	}
	word := keywordOf(kind, text)
	if b.nameNext {
		word = ""
	}
	b.tokens++
	if f := b.checkEnd(word); f != nil {
		return f
	}
	switch b.state {
	case myStart, myPlain, myCreate, myDefiner, myUser, myBegin:
		b.start(kind, word, text, at)
	case myHead:
		b.head(kind, word, text, at)
	case myBody:
		b.within(kind, word, text, at)
	}
	b.note(kind, word, text)
	return nil
}

// note keeps of a token what the next one is judged by.
func (b *mysqlBody) note(kind Kind, word keyword, text []byte) {
	b.prev = word
	b.nameNext = kind == Punct && text[0] == '.'
	switch {
	case kind == Operator:
		b.operand = false
	case kind == Punct:
		b.operand = text[0] == ')'
	default:
		b.operand = !wantsOperand[word]
	}
}

// wantsOperand are the words after which an expression goes on: END behind one of them is a column.
var wantsOperand = map[keyword]bool{
	"when": true, "then": true, "else": true, "case": true, "and": true, "or": true, "xor": true, "not": true, "select": true,
	"set": true, "by": true, "where": true, "on": true, "in": true, "like": true, "between": true, "is": true, "div": true,
	"mod": true, "return": true, "if": true, "elseif": true, "until": true, "while": true, "as": true, "having": true,
}

// start takes the words that tell what kind of statement this is.
func (b *mysqlBody) start(kind Kind, word keyword, text []byte, at int) {
	switch b.state {
	case myStart:
		switch {
		case word == "create", word == "alter":
			b.state = myCreate
		case b.maria && word == "begin":
			b.state = myBegin
			b.push(word, at)
		case b.maria && opens(word):
			b.state = myBody
			b.push(word, at)
		default:
			b.state = myPlain
		}
	case myPlain:
		if b.maria && isLabel(kind, text) { // b.tokens is 2
			b.state, b.tokens = myStart, 0
		}
	case myBegin:
		if b.state = myPlain; word == "not" {
			b.state, b.first = myBody, true
			return
		}
		b.blocks = b.blocks[:0]
	case myDefiner:
		if kind != Operator {
			b.state = myUser
		}
	case myUser:
		if kind != Variable && kind != QuotedIdent && !kind.IsString() { // @host
			b.state = myCreate
			b.created(kind, word)
		}
	case myCreate:
		b.created(kind, word)
	}
}

func (b *mysqlBody) created(kind Kind, word keyword) {
	switch word {
	case "or", "replace", "aggregate":
	case "definer":
		b.state = myDefiner
	case "procedure", "function", "trigger", "event", "package":
		b.state, b.kind = myHead, word
	default:
		if kind == Punct { // CURRENT_USER()
			return
		}
		b.state = myPlain
		b.tokens = 2 // so that no more is looked at
	}
}

// head goes up to the body.
func (b *mysqlBody) head(kind Kind, word keyword, text []byte, at int) {
	switch {
	case kind == Punct && text[0] == '(':
		b.parens++
	case kind == Punct && text[0] == ')':
		b.parens--
		b.ready = b.ready || b.parens == 0 && (b.kind == "procedure" || b.kind == "function")
	case b.parens > 0:
	case b.kind == "trigger" && word == "row" && b.prev == "each", b.kind == "event" && word == "do":
		b.ready = true
	case !b.ready, b.prev == "follows", b.prev == "precedes":
	case opens(word) && (word != "for" || b.maria):
		b.state = myBody
		b.push(word, at)
	case single[word] && !(word == "set" && (b.prev == "character" || b.prev == "returns")):
		b.state = mySingle
	}
}

// single are the words that begin a body which is one statement.
var single = map[keyword]bool{
	"select": true, "insert": true, "update": true, "delete": true, "replace": true, "set": true, "call": true, "return": true,
	"with": true, "signal": true, "resignal": true, "values": true, "truncate": true, "drop": true, "alter": true, "create": true,
	"execute": true, "prepare": true, "deallocate": true, "commit": true, "rollback": true, "start": true, "lock": true, "do": true,
}

func opens(word keyword) bool {
	switch word {
	case "begin", "if", "case", "loop", "repeat", "while", "for":
		return true
	}
	return false
}

func isLabel(kind Kind, text []byte) bool { return kind == Operator && string(text) == ":" }

// push opens a block.
func (b *mysqlBody) push(word keyword, at int) {
	b.blocks = append(b.blocks, block{word, at, word == "while" || word == "for"})
	b.first = word == "begin" || word == "loop" || word == "repeat"
	if b.first {
		b.tokens = 0
	}
}

func (b *mysqlBody) pop() {
	b.ended, b.closed = true, b.blocks[len(b.blocks)-1]
	if b.blocks = b.blocks[:len(b.blocks)-1]; len(b.blocks) == 0 {
		b.state = myEnded
	}
}

// checkEnd takes the token after END, which says what it ends unless that is a BEGIN.
func (b *mysqlBody) checkEnd(word keyword) *fault {
	closed := b.closed
	b.closed = block{}
	switch {
	case closed.word == "" || closed.word == word || closed.word == "begin" && !opens(word):
		return nil
	case closed.word != "begin":
		return unclosed(closed)
	}
	name := strings.ToUpper(string(word))
	return &fault{closed.at, ErrUnclosed, fmt.Sprintf("this BEGIN is closed by END %s", name),
		"close it with END alone; either that or the " + name + " is missing"}
}

// within takes a token of a block.
func (b *mysqlBody) within(kind Kind, word keyword, text []byte, at int) {
	top := &b.blocks[len(b.blocks)-1]
	switch {
	case b.first:
		b.begins(kind, word, at)
	case b.ended:
	case b.tokens == 2 && isLabel(kind, text):
		b.begin()
	case b.handler != noHandler:
		b.declares(kind, word, text, at)
	case word == "case":
		b.cases++
	case word == "end" && b.cases > 0 && b.operand:
		b.cases--
	case b.cases > 0:
	case word == "end" && b.until && b.operand:
		b.pop()
	case word == "then" && (top.word == "if" || top.word == "case"):
		b.begin()
	case word == "do" && top.head && b.operand:
		top.head = false
		b.begin()
	}
}

// begin expects a statement at the next token.
func (b *mysqlBody) begin() {
	b.first, b.ended, b.until = true, false, false
	b.cases, b.tokens, b.handler = 0, 0, noHandler
}

// begins takes the first token of a statement.
func (b *mysqlBody) begins(kind Kind, word keyword, at int) {
	b.first = false
	switch {
	case word == "not" && b.prev == "begin", word == "atomic" && b.prev == "not": // BEGIN NOT ATOMIC
		b.begin()
	case opens(word) && (word != "for" || b.maria):
		b.push(word, at)
	case word == "else":
		b.begin()
	case word == "until":
		b.until = b.blocks[len(b.blocks)-1].word == "repeat"
	case word == "declare":
		b.handler = declareSeen
	case word == "end":
		b.pop()
	}
}

func (b *mysqlBody) declares(kind Kind, word keyword, text []byte, at int) {
	comma := kind == Punct && text[0] == ','
	switch {
	case b.handler == declareSeen && (word == "continue" || word == "exit" || word == "undo"):
		b.handler = declareKind
	case b.handler == declareKind && word == "handler":
		b.handler = declareWord
	case b.handler == declareWord && word == "for":
		b.handler = wantsMore
	case b.handler < wantsMore: // DECLARE name type …
		b.handler = noHandler
	case b.handler == wantsMore && (word == "sqlstate" || word == "value" || word == "not"):
	case b.handler == wantsMore:
		b.handler = hasCondition
	case comma:
		b.handler = wantsMore
	default:
		b.handler = noHandler
		b.begins(kind, word, at)
	}
}

func (b *mysqlBody) semicolon(delimited bool) (inside bool, f *fault) {
	f = b.checkEnd("")
	if b.state != myBody {
		return delimited && b.state >= myHead && b.state != myBegin, f
	}
	b.begin()
	b.note(Semicolon, "", nil)
	return true, f
}

func (b *mysqlBody) open() *fault {
	if b.state != myBody {
		return nil
	}
	return unclosed(b.blocks[len(b.blocks)-1])
}

func unclosed(b block) *fault {
	name := strings.ToUpper(string(b.word))
	end := "END " + name
	if b.word == "begin" {
		end = "END"
	}
	return &fault{b.at, ErrUnclosed, fmt.Sprintf("this %s has no %s", name, end),
		"close it with " + end + "; or name the end of the whole statement yourself, with a line DELIMITER // before it and // after it"}
}
