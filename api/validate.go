package api

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"
)

// validate holds a request to what the specification says about its operation.
// Bodies of files are not read here: they stream.
func (s *Server) validate(c echo.Context, operation *openapi3.Operation, item *openapi3.PathItem) error {
	r := c.Request()
	streams := false
	if operation.RequestBody != nil {
		content := operation.RequestBody.Value.Content
		accepted := content.Get(mediaType(r)) != nil && mediaType(r) != ""
		if !accepted {
			var types []string
			for t := range content {
				types = append(types, t)
			}
			slices.Sort(types)
			return &mediaTypeError{types}
		}
		streams = mediaType(r) != "application/json"
	}
	if err := s.knownParameters(r, operation, item); err != nil {
		return err
	}
	parameters := map[string]string{}
	for i, name := range c.ParamNames() {
		parameters[name] = c.ParamValues()[i]
	}
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: parameters,
		Route:      &routers.Route{Spec: s.spec, Path: c.Path(), PathItem: item, Method: r.Method, Operation: operation},
		Options: &openapi3filter.Options{
			ExcludeRequestBody: streams,
			MultiError:         true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			KeepValidatedValue: true,
		},
	})
	if err == nil {
		return nil
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return large
	}
	var fields []FieldError
	collect(&fields, "", err)
	// A path parameter that cannot be an id names nothing.
	for _, f := range fields {
		if _, ok := parameters[f.Pointer]; ok {
			return echo.ErrNotFound
		}
	}
	return &invalid{fields}
}

// knownParameters refuses query parameters that the specification does not name.
func (s *Server) knownParameters(r *http.Request, operation *openapi3.Operation, item *openapi3.PathItem) error {
	for name := range r.URL.Query() {
		if operation.Parameters.GetByInAndName("query", name) == nil && item.Parameters.GetByInAndName("query", name) == nil {
			return fieldError(fieldName(name), "unknown parameter")
		}
	}
	return nil
}

// collect turns the validator's errors into field errors that repeat no value.
func collect(fields *[]FieldError, pointer string, err error) {
	const most = 20
	if len(*fields) >= most {
		return
	}
	var (
		many    openapi3.MultiError
		request *openapi3filter.RequestError
		schema  *openapi3.SchemaError
		parse   *openapi3filter.ParseError
	)
	switch {
	case errors.As(err, &request) && request.Parameter != nil:
		inner := request.Err
		if errors.As(inner, &schema) || errors.As(inner, &many) {
			collect(fields, request.Parameter.Name, inner)
			return
		}
		detail := "has the wrong form"
		if errors.Is(inner, openapi3filter.ErrInvalidRequired) {
			detail = "is required"
		}
		*fields = append(*fields, FieldError{Pointer: request.Parameter.Name, Detail: detail})
	case errors.As(err, &request) && request.Err != nil && !errors.As(request.Err, &parse):
		if errors.Is(request.Err, openapi3filter.ErrInvalidRequired) {
			*fields = append(*fields, FieldError{Pointer: "", Detail: "a body is required"})
			return
		}
		collect(fields, pointer, request.Err)
	case errors.As(err, &many):
		for _, e := range many {
			collect(fields, pointer, e)
		}
	case errors.As(err, &schema):
		path := pointer
		for _, p := range schema.JSONPointer() {
			path += "/" + fieldName(p)
		}
		*fields = append(*fields, FieldError{Pointer: path, Detail: detail(schema)})
	default:
		*fields = append(*fields, FieldError{Pointer: pointer, Detail: "the body is not valid JSON"})
	}
}

// detail says what a schema asks for.
func detail(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "type":
		if s.Type != nil {
			return "must be of type " + strings.Join(s.Type.Slice(), " or ")
		}
	case "properties", "additionalProperties":
		if m := unsupported.FindStringSubmatch(e.Reason); m != nil {
			return "unknown field " + fieldName(m[1])
		}
		return "unknown field"
	case "enum":
		return fmt.Sprintf("must be one of %v", s.Enum)
	case "minLength":
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case "maxLength":
		if s.MaxLength != nil {
			return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
		}
	case "minimum", "maximum":
		if s.Min != nil && s.Max != nil {
			return fmt.Sprintf("must be from %v to %v", *s.Min, *s.Max)
		}
	case "format":
		return "must be a " + s.Format
	case "pattern":
		return "must match " + s.Pattern
	}
	return "has the wrong form"
}

var (
	unsupported = regexp.MustCompile(`^property "(.*)" is unsupported$`)
	plainName   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

// fieldName is the name of a submitted field, if it is one: a name may hold
// content, too.
func fieldName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "(not a name)"
}
