package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a dead letter.
const (
	headerProblem  = "Sealprint-Problem"  // why it was refused, a problem in JSON
	headerStream   = "Sealprint-Stream"   // where it was
	headerSubject  = "Sealprint-Subject"  //
	headerSequence = "Sealprint-Sequence" // in the stream
)

// unfinished is why a message is refused that ended the process too often.
const unfinished = `{"type":"/problems/unfinished","title":"The server ended while it looked at this, again and again","status":500}`

// errReturned: the dead letters are in a stream that posts are taken from.
var errReturned = errors.New("a dead letter came back as a post: give the consumer subjects, or the dead letters a stream of their own")

// desk is where messages go while a connection lasts.
type desk struct {
	*Consumer
	js    jetstream.JetStream
	posts Posts
	wait  time.Duration // of the stream, for word of a message
}

// handle hands a message on and tells the stream what became of it. What it cannot tell,
// because the connection is gone, the stream finds out by waiting.
func (d *desk) handle(ctx context.Context, msg jetstream.Msg) {
	log := d.Log.With("stream", d.Stream)
	meta, err := msg.Metadata()
	if err != nil {
		log.Error("a message is none of a stream", "error", err)
		return
	}
	log = log.With("sequence", meta.Sequence.Stream, "delivery", meta.NumDelivered)
	defer keep(msg, d.wait)()
	refused, err := d.hand(ctx, msg, meta)
	if err == nil && refused != "" {
		err = d.bury(ctx, msg, meta, refused)
	}
	switch {
	case err != nil:
		pause := pauseAfter(meta.NumDelivered)
		log.Warn("a post is tried again", "in", pause.String(), "error", err)
		err = msg.NakWithDelay(pause)
		d.Observe("retried")
	case refused != "":
		err = msg.Term()
		d.Observe("refused")
	default:
		err = msg.Ack()
		d.Observe("taken")
	}
	if err != nil {
		log.Warn("the stream was not told what became of a post", "error", err)
	}
}

// keep tells the stream that a message is in hand, until it is stopped.
func keep(msg jetstream.Msg, wait time.Duration) (stop func()) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		tick := time.NewTicker(wait / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = msg.InProgress() // if it does not arrive, the next may
			}
		}
	}()
	return stop
}

// hand hands a message on: for the first time beside others, later alone.
func (d *desk) hand(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) (refused string, err error) {
	if msg.Subject() == d.DeadLetters {
		return "", errReturned
	}
	if meta.NumDelivered == 1 {
		return d.posts.TakePost(ctx, msg.Data())
	}
	select {
	case d.alone <- struct{}{}:
		defer func() { <-d.alone }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	id := idOf(meta)
	begun, err := d.trials.begin(id)
	if err != nil {
		return "", fmt.Errorf("note that a post is tried: %w", err)
	}
	if begun == maxTrials {
		return unfinished, nil // the note stays until it is among the dead letters
	}
	refused, err = d.posts.TakePost(ctx, msg.Data())
	d.ended(id)
	return refused, err
}

// bury publishes a message to the dead letters.
func (d *desk) bury(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, refused string) error {
	letter := &nats.Msg{Subject: d.DeadLetters, Data: msg.Data(), Header: nats.Header{
		headerProblem: {refused}, headerStream: {meta.Stream}, headerSubject: {msg.Subject()},
		headerSequence: {strconv.FormatUint(meta.Sequence.Stream, 10)},
		// If the stream of the dead letters has it already, because the message was not
		// terminated, it takes no second.
		jetstream.MsgIDHeader: {meta.Stream + "-" + idOf(meta)},
	}}
	_, err := d.js.PublishMsg(ctx, letter)
	if errors.Is(err, nats.ErrMaxPayload) {
		// A body that fits alone only: the reason is in the log then.
		d.Log.Warn("a dead letter goes without headers", "stream", meta.Stream, "sequence", meta.Sequence.Stream, "problem", refused)
		letter.Header = nil
		_, err = d.js.PublishMsg(ctx, letter)
	}
	if err != nil {
		return fmt.Errorf("publish to the dead letters: %w", err)
	}
	if refused == unfinished {
		d.Log.Error("a post ended the server again and again and is among the dead letters", "stream", meta.Stream, "sequence", meta.Sequence.Stream)
		d.ended(idOf(meta))
	}
	return nil
}

func (d *desk) ended(id string) {
	if err := d.trials.end(id); err != nil {
		d.Log.Error("a note about a post stays", "error", err)
	}
}

// idOf tells messages apart, also those of a stream that was made anew.
func idOf(meta *jetstream.MsgMetadata) string {
	return fmt.Sprintf("%d-%d", meta.Sequence.Stream, meta.Timestamp.UnixNano())
}

// pauseAfter is how long a message rests after so many deliveries.
func pauseAfter(deliveries uint64) time.Duration {
	return min(minPause<<min(max(deliveries, 1)-1, 16), maxPause)
}
