// Package sourcetest starts a real S3 server for tests: versitygw, which keeps
// objects as files of a folder. The environment variable
// SEALPRINT_TEST_VERSITYGW names the program.
package sourcetest

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sealprint/sealprint/storage/servertest"
)

// The credentials of every server.
const (
	AccessKey = "testaccess"
	SecretKey = "testsecret123"
	Region    = "us-east-1"
)

// Server is an S3 server of its own.
type Server struct {
	*servertest.Server
	Endpoint string // http://127.0.0.1:port

	client *minio.Client
	events string // the URL that is told of changes; empty: nobody is
}

// Start starts a server that ends with the test. After Restart it has the same objects.
func Start(t testing.TB) *Server {
	t.Helper()
	root := t.TempDir()
	s := &Server{}
	s.Server = servertest.Start(t, servertest.Program{
		Name: "versitygw", Variable: "SEALPRINT_TEST_VERSITYGW",
		Args: func(address string) []string {
			arguments := []string{"--port", address, "--health", "/health", "--quiet"}
			if s.events != "" {
				arguments = append(arguments, "--event-webhook-url", s.events)
			}
			return append(arguments, "posix", root)
		},
		Env:     []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey},
		Answers: answers,
	})
	s.Endpoint = "http://" + s.Address
	client, err := minio.New(s.Address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	return s
}

func answers(address string) bool {
	response, err := http.Get("http://" + address + "/health")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Notify has the server tell a URL of everything that changes from now on.
func (s *Server) Notify(url string) {
	s.Stop()
	s.events = url
	s.Restart()
}

// Bucket makes a bucket and returns its name.
func (s *Server) Bucket(t testing.TB, name string) string {
	t.Helper()
	if err := s.client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
		t.Fatalf("make bucket %s: %v", name, err)
	}
	return name
}

// Put stores an object.
func (s *Server) Put(t testing.TB, bucket, key, content string) {
	t.Helper()
	if err := s.put(t.Context(), bucket, key, content); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func (s *Server) put(ctx context.Context, bucket, key, content string) error {
	_, err := s.client.PutObject(ctx, bucket, key, bytes.NewReader([]byte(content)), int64(len(content)), minio.PutObjectOptions{})
	return err
}

// PutTagged stores an object with a tag.
func (s *Server) PutTagged(t testing.TB, bucket, key, content, tag, value string) {
	t.Helper()
	_, err := s.client.PutObject(t.Context(), bucket, key, bytes.NewReader([]byte(content)), int64(len(content)),
		minio.PutObjectOptions{UserTags: map[string]string{tag: value}})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// PutAll stores many objects.
func (s *Server) PutAll(t testing.TB, bucket string, contents map[string]string) {
	t.Helper()
	keys := make(chan string)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for key := range keys {
				if err := s.put(t.Context(), bucket, key, contents[key]); err != nil {
					t.Errorf("put %q: %v", key, err)
				}
			}
		})
	}
	for key := range contents {
		keys <- key
	}
	close(keys)
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// RemoveAll removes objects with one request.
func (s *Server) RemoveAll(t testing.TB, bucket string, keys ...string) {
	t.Helper()
	objects := make(chan minio.ObjectInfo, len(keys))
	for _, key := range keys {
		objects <- minio.ObjectInfo{Key: key}
	}
	close(objects)
	for failed := range s.client.RemoveObjects(t.Context(), bucket, objects, minio.RemoveObjectsOptions{}) {
		t.Fatalf("remove %q: %v", failed.ObjectName, failed.Err)
	}
}

// Remove removes an object.
func (s *Server) Remove(t testing.TB, bucket, key string) {
	t.Helper()
	if err := s.client.RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatalf("remove %q: %v", key, err)
	}
}
