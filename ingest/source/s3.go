// Package source reads documents from where they lie: S3-compatible object
// storage.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sealprint/sealprint/ingest"
)

// S3Config says where a bucket is and who asks.
type S3Config struct {
	Endpoint  string // https://host[:port]; http:// for stores on a trusted network
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string
}

// S3 is a bucket. It implements [ingest.Source] and [ingest.Archive].
type S3 struct {
	core   *minio.Core
	bucket string
	stall  time.Duration // maxStall but in tests
}

// maxStall is how long a store may send nothing in the middle of an object. The
// client library waits as long for the beginning.
const maxStall = time.Minute

var (
	_ ingest.Source  = (*S3)(nil)
	_ ingest.Archive = (*S3)(nil)
)

// NewS3 prepares access to a bucket. It does not connect yet.
func NewS3(c S3Config) (*S3, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("endpoint %q: need https://host[:port]", c.Endpoint)
	}
	if c.Bucket == "" {
		return nil, errors.New("bucket is not set")
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure: u.Scheme == "https",
		Region: c.Region,
		// Who reads decides how long an outage is waited for.
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", c.Bucket, err)
	}
	core.SetAppInfo("sealprint", "1")
	return &S3{core, c.Bucket, maxStall}, nil
}

// List implements [ingest.Source]. S3 lists keys in the order of their bytes.
func (s *S3) List(ctx context.Context, prefix, after string) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the lister when the caller has seen enough
		for o := range s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, StartAfter: after, Recursive: true}) {
			if o.Err != nil {
				yield(ingest.Object{}, fmt.Errorf("list bucket %s: %w", s.bucket, s.kind(o.Err)))
				return
			}
			if !yield(object(o), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(ingest.Object{}, fmt.Errorf("list bucket %s: %w", s.bucket, err))
		}
	}
}

func object(o minio.ObjectInfo) ingest.Object {
	return ingest.Object{
		Key: o.Key, ETag: strings.Trim(o.ETag, `"`), VersionID: o.VersionID, Size: o.Size, Modified: o.LastModified,
	}
}

// Open implements [ingest.Source].
func (s *S3) Open(ctx context.Context, o ingest.Object) (io.ReadCloser, error) {
	options := minio.GetObjectOptions{VersionID: o.VersionID}
	if o.ETag != "" && o.VersionID == "" {
		if err := options.SetMatchETag(o.ETag); err != nil {
			return nil, fmt.Errorf("open object: %w", err)
		}
	}
	return s.get(ctx, o.Key, options)
}

func (s *S3) get(ctx context.Context, key string, options minio.GetObjectOptions) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	body, info, _, err := s.core.GetObject(ctx, s.bucket, key, options)
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("open object: %w", s.kind(err))
	}
	return &reader{body, s, info.Size, ctx, cancel}, nil
}

// Stat implements [ingest.Source].
func (s *S3) Stat(ctx context.Context, key string) (ingest.Object, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return ingest.Object{}, fmt.Errorf("look at object: %w", s.kind(err))
	}
	return object(info), nil
}

// Tags implements [ingest.Source].
func (s *S3) Tags(ctx context.Context, o ingest.Object) (map[string]string, error) {
	t, err := s.core.GetObjectTagging(ctx, s.bucket, o.Key, minio.GetObjectTaggingOptions{VersionID: o.VersionID})
	if err != nil {
		var response minio.ErrorResponse
		if errors.As(err, &response) && response.Code == noTags {
			return map[string]string{}, nil
		}
		return nil, fmt.Errorf("read tags: %w", s.kind(err))
	}
	return t.ToMap(), nil
}

// noTags is how some stores say that an object has none.
const noTags = "NoSuchTagSet"

// URI implements [ingest.Source].
func (s *S3) URI(key string) string { return "s3://" + s.bucket + "/" + key }

// Key implements [ingest.Source].
func (s *S3) Key(uri string) (string, bool) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	return key, strings.HasPrefix(uri, "s3://") && bucket == s.bucket
}

// Put implements [ingest.Archive].
func (s *S3) Put(ctx context.Context, name string, content io.Reader, size int64) error {
	_, err := s.core.Client.PutObject(ctx, s.bucket, name, content, size, minio.PutObjectOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return fmt.Errorf("store in bucket %s: %w", s.bucket, s.kind(err))
	}
	return nil
}

// Get implements [ingest.Archive].
func (s *S3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	return s.get(ctx, name, minio.GetObjectOptions{})
}

// reader gives errors in the middle of an object their kind, and notices when
// the store ends early or not at all.
type reader struct {
	io.ReadCloser
	s      *S3
	left   int64
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
}

var errStalled = fmt.Errorf("%w: it stopped in the middle of an object", ingest.ErrUnavailable)

func (r *reader) Close() error {
	defer r.cancel(nil)
	return r.ReadCloser.Close()
}

func (r *reader) Read(p []byte) (int, error) {
	stall := time.AfterFunc(r.s.stall, func() { r.cancel(errStalled) })
	n, err := r.ReadCloser.Read(p)
	stall.Stop()
	if err != nil && context.Cause(r.ctx) == errStalled {
		return n, errStalled
	}
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.s.kind(err)
	}
	return n, err
}

// kind marks an error of the store as what it means for the caller.
func (s *S3) kind(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var response minio.ErrorResponse
	if !errors.As(err, &response) {
		var request *url.Error
		if errors.As(err, &request) {
			err = request.Err // without the address, which is long and tells nothing
		}
		return fmt.Errorf("%w: %w", ingest.ErrUnavailable, err) // it did not answer
	}
	switch {
	case response.Code == minio.NoSuchBucket:
		return fmt.Errorf("bucket %s does not exist", s.bucket)
	case response.StatusCode == http.StatusPreconditionFailed, response.StatusCode == http.StatusNotFound && isGone(response.Code):
		return ingest.ErrChanged
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= 500:
		return fmt.Errorf("%w: %s", ingest.ErrUnavailable, response.Code)
	case response.Code != "":
		return fmt.Errorf("the store refuses: %s", response.Code)
	}
	// Whatever it said instead of a code stays out of reports.
	return fmt.Errorf("the store refuses: status %d", response.StatusCode)
}

// isGone tells an object that is not there from other things that stores do not
// find, such as the access key. The client library names the object when an
// answer has no code.
func isGone(code string) bool {
	return code == minio.NoSuchKey || code == minio.NoSuchVersion
}
