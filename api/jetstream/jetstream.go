// Package jetstream takes posts from NATS JetStream
// (https://docs.nats.io/nats-concepts/jetstream), beside POST /v1/posts.
//
// A pipeline publishes posts to a stream, which keeps them. This package pulls them from it
// through a durable consumer, which is the stream's own record of what has become of each,
// and hands them on. The stream is there already, and belongs to whoever runs NATS; the
// consumer is made if it is missing.
//
// # What is promised
//
// A message is acknowledged after its post was taken in, and so after its alerts are on disk;
// until then the stream keeps it. Whatever is killed, cut off or restarted in between, the
// message is delivered again. A post is therefore handed on at least once, and is the same
// post every time by its id.
//
// # What becomes of a message
//
//   - Taken: it is acknowledged.
//   - Refused: what is wrong with it would be wrong at any time, such as a field that no post
//     has. All of it goes to the dead letters, a subject that another stream keeps, with the
//     reason in its headers. When that stream has acknowledged it, the message is terminated.
//   - Retried: something failed that may pass, such as a disk that is full, or the dead letters
//     do not take it. The message is given back, and delivered again after a pause that
//     doubles each time, from a second to five minutes; for as long as it takes.
//
// While a message is in hand the stream is told so, however long that takes. One that nothing
// is heard of is delivered again after the consumer's acknowledgement wait.
//
// # Messages that end the process
//
// A post may end the process that looks at it: that is what happens when memory runs out.
// It must not do so for ever, and how often the stream has delivered it does not tell:
// deliveries count, too, that failed for a day because a disk was full, and those of
// everything that was in hand beside it. So what is delivered again is tried alone, one
// message at a time, and a file says so for as long as it is tried (trials.go). Whatever
// the outcome is, if there is one the file goes. If there was none three times, the message
// goes to the dead letters untried.
package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxInHand is how many messages are in hand at a time. Most of them wait for the disk,
	// together.
	maxInHand = 64

	// maxHeld bounds what all messages in hand hold, in bytes, if each is as large as the
	// server lets messages be: 1 MB unless somebody changed that, and 64 MB at most.
	maxHeld = 192 << 20

	// maxPending is how many messages may be without an outcome: those in hand, and those that
	// wait to be delivered again. When as many wait, whatever failed concerns them all.
	maxPending = 1000

	// defaultAckWait is how long the stream waits after it last heard of a message. After a
	// crash it is how long what was in hand is late.
	defaultAckWait = 30 * time.Second

	// minPause and maxPause bound how long a message rests that is delivered again.
	minPause = time.Second
	maxPause = 5 * time.Minute

	// retry is how long is waited for a server or a stream that is not there.
	retry = time.Second

	// ping is how often an idle connection is tried; after two without an answer it is given up.
	ping = 20 * time.Second

	// farewell is how long the last acknowledgements may take on their way.
	farewell = time.Second
)

// Posts takes posts in.
type Posts interface {
	// TakePost takes in a post, a JSON object. If it returns neither a refusal nor an error,
	// whatever came of the post is durable. A refusal says, in one line that repeats nothing of
	// the post, why it would not be taken at any time; an error is everything that may pass.
	// It is called from several goroutines, and more than once with the same post.
	TakePost(ctx context.Context, post []byte) (refused string, err error)
}

// Options say where posts come from. URLs, Stream, Consumer, DeadLetters and Trials have to
// be set.
type Options struct {
	URLs        []string // of servers of one NATS: nats://, tls://, ws:// or wss://
	Stream      string   // that keeps the posts
	Consumer    string   // the name of the durable consumer
	Subjects    []string // of the stream, that hold posts; none: all, or as the consumer has it
	DeadLetters string   // the subject that refused messages are published to
	// AckWait is how long the stream waits for word of a message; 30 s unless it is set.
	AckWait time.Duration
	// Trials is a folder for notes about messages that are tried again; it is made.
	Trials string

	// Who connects: by a file of credentials (JWT and seed), a file with the seed of an nkey, a
	// token, or user and password; or nobody in particular.
	CredsFile, NkeyFile   string
	Token, User, Password string
	// CAFile has certificates in PEM that the server's is signed by. With it only TLS is spoken.
	CAFile string

	// Grace is how long what is in hand may take when Run is to end.
	Grace time.Duration
	// Observe, if there is one, is told what became of a message: taken, refused or retried. It is
	// called from several goroutines.
	Observe func(result string)
	// Log is told what is not as it should be; nobody is if it is nil.
	Log *slog.Logger
}

// Consumer takes posts from a stream. Make one with [New].
type Consumer struct {
	Options
	server nats.Options
	trials trials
	alone  chan struct{} // held by the message that is tried alone
	taking atomic.Bool

	mu   sync.Mutex
	said string // why nothing is taken
}

// New makes a consumer and checks what it is to work with. It does not connect yet.
func New(o Options) (*Consumer, error) {
	o.AckWait = cmp.Or(o.AckWait, defaultAckWait)
	if o.Observe == nil {
		o.Observe = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Consumer{Options: o, trials: trials{o.Trials}, alone: make(chan struct{}, 1)}
	server, err := o.connection()
	if err != nil {
		return nil, err
	}
	server.DisconnectedErrCB = func(_ *nats.Conn, err error) {
		if err != nil { // it was not us
			c.say(fmt.Errorf("the connection is lost: %w", err))
		}
	}
	server.ReconnectErrCB = func(_ *nats.Conn, err error) { c.say(err) }
	server.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) { o.Log.Warn("NATS", "error", err) }
	c.server = server
	return c, nil
}

var (
	// A name of a stream or a consumer is part of subjects.
	name = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)
	// A subject is tokens with dots in between; here one without wildcards.
	subject = regexp.MustCompile(`^[^\s.*>]+(\.[^\s.*>]+)*$`)
)

func (o *Options) validate() error {
	switch {
	case len(o.URLs) == 0:
		return errors.New("no URL of a server")
	case !name.MatchString(o.Stream):
		return errors.New("the stream needs a name of letters, digits, - and _")
	case !name.MatchString(o.Consumer):
		return errors.New("the consumer needs a name of letters, digits, - and _")
	case !subject.MatchString(o.DeadLetters):
		return errors.New("dead letters need a subject without wildcards")
	case slices.Contains(o.Subjects, o.DeadLetters):
		return errors.New("the subject of dead letters is among those of posts")
	case o.AckWait < time.Second:
		return errors.New("the acknowledgement wait is less than a second")
	}
	for _, s := range o.URLs {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("a URL is not like nats://host:4222 or tls://host:4222")
		}
		if u.User != nil {
			return errors.New("a URL holds credentials: they belong in a file")
		}
	}
	ways := 0
	for _, way := range []string{o.CredsFile, o.NkeyFile, o.Token, o.User} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 || (o.User == "") != (o.Password == "") {
		return errors.New("credentials are a creds file, an nkey file, a token, or a user with a password")
	}
	return nil
}

// connection is how the server is connected to: for ever, whatever happens.
func (o *Options) connection() (nats.Options, error) {
	server := nats.GetDefaultOptions()
	server.Servers = o.URLs
	options := []nats.Option{
		nats.Name("sealprint"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(retry),
		nats.IgnoreAuthErrorAbort(), nats.PingInterval(ping),
	}
	switch {
	case o.CredsFile != "":
		// It is read whenever a connection is made; but that there is one is said now.
		if _, err := os.ReadFile(o.CredsFile); err != nil {
			return server, fmt.Errorf("read credentials: %w", err)
		}
		options = append(options, nats.UserCredentials(o.CredsFile))
	case o.NkeyFile != "":
		nkey, err := nats.NkeyOptionFromSeed(o.NkeyFile)
		if err != nil {
			return server, fmt.Errorf("read nkey: %w", err)
		}
		options = append(options, nkey)
	case o.Token != "":
		options = append(options, nats.Token(o.Token))
	case o.User != "":
		options = append(options, nats.UserInfo(o.User, o.Password))
	}
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	for _, option := range options {
		if err := option(&server); err != nil {
			return server, err
		}
	}
	return server, nil
}

// Taking reports whether posts are being taken.
func (c *Consumer) Taking() bool { return c.taking.Load() }

// say notes and logs why nothing is taken, once for each reason; or, without one, that
// posts are.
func (c *Consumer) say(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taking.Store(reason == nil)
	if reason == nil {
		c.said = ""
		c.Log.Info("posts are taken from JetStream", "stream", c.Stream, "consumer", c.Consumer)
		return
	}
	if text := reason.Error(); text != c.said {
		c.said = text
		c.Log.Warn("posts are not taken from JetStream", "stream", c.Stream, "consumer", c.Consumer, "reason", text)
	}
}

// Run hands posts on until ctx ends. What is in hand then may take the grace time; the rest
// is given back, to be delivered again.
func (c *Consumer) Run(ctx context.Context, posts Posts) {
	working, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(c.Grace, giveUp) })
	defer stop()
	defer c.taking.Store(false)

	var conn *nats.Conn
	for ; ctx.Err() == nil; rest(ctx) {
		if conn == nil {
			var err error
			if conn, err = c.server.Connect(); err != nil {
				c.say(err)
				continue
			}
			defer conn.Close()
		}
		if !conn.IsConnected() {
			continue // why is told when connecting fails
		}
		if err := c.feed(ctx, working, conn, posts); err != nil && ctx.Err() == nil && conn.IsConnected() {
			c.say(err)
		}
	}
	if conn != nil && conn.IsConnected() {
		_ = conn.FlushTimeout(farewell) // what does not arrive is delivered again
	}
}

func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retry):
	}
}

// feed hands messages on until something is wrong, and returns when none is in hand.
func (c *Consumer) feed(ctx, working context.Context, conn *nats.Conn, posts Posts) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	consumer, err := c.bind(ctx, js)
	if err != nil {
		return err
	}
	c.say(nil)
	d := desk{c, js, posts, consumer.CachedInfo().Config.AckWait}
	// What was asked for is forgotten when the connection breaks.
	asking, lost := context.WithCancel(ctx)
	defer lost()
	broken := conn.StatusChanged(nats.RECONNECTING)
	defer conn.RemoveStatusListener(broken)
	go func() {
		select {
		case <-broken:
			lost()
		case <-asking.Done():
		}
	}()
	hands := make(chan struct{}, max(1, min(maxInHand, maxHeld/max(1, conn.MaxPayload()))))
	var work sync.WaitGroup
	defer work.Wait()
	for asking.Err() == nil {
		free := take(asking, hands)
		if free == 0 {
			break
		}
		batch, err := consumer.Fetch(free, jetstream.FetchContext(asking))
		if err != nil {
			return fmt.Errorf("ask for messages: %w", err)
		}
		for msg := range batch.Messages() {
			free--
			work.Go(func() {
				defer func() { <-hands }()
				d.handle(working, msg)
			})
		}
		for range free {
			<-hands
		}
		if err := batch.Error(); err != nil && asking.Err() == nil {
			return fmt.Errorf("wait for messages: %w", err)
		}
	}
	return nil
}

// take takes all hands that are free, and waits until there is one; none if ctx ends.
func take(ctx context.Context, hands chan struct{}) (free int) {
	select {
	case hands <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for free = 1; free < cap(hands); free++ {
		select {
		case hands <- struct{}{}:
		default:
			return free
		}
	}
	return free
}

// bind finds the consumer, or makes it. One that is not as it should be is changed.
func (c *Consumer) bind(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	found, err := js.Consumer(ctx, c.Stream, c.Consumer)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("look for the consumer: %w", err)
	}
	want := jetstream.ConsumerConfig{Durable: c.Consumer, Description: "sealprint"}
	if found != nil {
		want = found.CachedInfo().Config
	}
	want.AckPolicy, want.AckWait, want.BackOff = jetstream.AckExplicitPolicy, c.AckWait, nil
	want.MaxAckPending, want.MaxDeliver = maxPending, -1
	if len(c.Subjects) > 0 {
		want.FilterSubject, want.FilterSubjects = "", c.Subjects
	}
	if found != nil && reflect.DeepEqual(want, found.CachedInfo().Config) {
		return found, nil
	}
	made, err := js.CreateOrUpdateConsumer(ctx, c.Stream, want)
	if err == nil {
		return made, nil
	}
	// Whoever runs NATS may not let others make consumers.
	if found != nil && serves(found.CachedInfo().Config) {
		c.Log.Warn("the consumer stays as it is", "stream", c.Stream, "consumer", c.Consumer, "reason", err)
		return found, nil
	}
	return nil, fmt.Errorf("make the consumer: %w", err)
}

// serves reports whether nothing is lost by a consumer.
func serves(c jetstream.ConsumerConfig) bool {
	return c.AckPolicy == jetstream.AckExplicitPolicy && c.MaxDeliver < 0 && len(c.BackOff) == 0 && !c.HeadersOnly
}
