package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
		// A type may be written in any case; the generated code knows one.
		_, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		r.Header.Set("Content-Type", mime.FormatMediaType(mediaType(r), parameters))
	}
	if err := knownParameters(r, operation, item); err != nil {
		return err
	}
	if operation.RequestBody != nil && !streams {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return bodyError(err)
		}
		if err := strictJSON(content); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
	}
	parameters := map[string]string{}
	for i, name := range c.ParamNames() {
		parameters[name] = c.ParamValues()[i]
	}
	input := &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: parameters,
		Route:      &routers.Route{Spec: s.spec, Path: c.Path(), PathItem: item, Method: r.Method, Operation: operation},
		Options: &openapi3filter.Options{
			MultiError:              true,
			KeepValidatedValue:      true,
			SchemaValidationOptions: []openapi3.SchemaValidationOption{dateTimeFormat},
		},
	}
	// Not ValidateRequest: it reads every body into memory to check the key.
	var failed openapi3.MultiError
	for _, parameter := range slices.Concat(item.Parameters, operation.Parameters) {
		if err := openapi3filter.ValidateParameter(r.Context(), input, parameter.Value); err != nil {
			failed = append(failed, err)
		}
	}
	if operation.RequestBody != nil && !streams {
		if err := openapi3filter.ValidateRequestBody(r.Context(), input, operation.RequestBody.Value); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	var fields []FieldError
	collect(&fields, "", failed)
	// A path parameter that cannot be an id names nothing.
	for _, f := range fields {
		if _, ok := parameters[f.Pointer]; ok {
			return echo.ErrNotFound
		}
	}
	return &invalid{fields}
}

// dateTimeFormat makes the validator look at date-times.
var dateTimeFormat = openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
	_, err := parseTime(s)
	return err
}))

// dateTime is the form of RFC 3339, which package time takes less strictly.
var dateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// parseTime reads a date-time. Those that another zone puts outside the years
// that RFC 3339 can write are refused: no answer could hold them.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	t = t.UTC()
	if err != nil || !dateTime.MatchString(s) || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, errors.New("not a date-time")
	}
	return t, nil
}

// strictJSON refuses what decoders let pass or read in different ways: bytes that
// are no UTF-8, anything behind the value, a name that stands twice in an object.
// An empty body is left to the specification.
func strictJSON(content []byte) error {
	switch {
	case len(content) == 0:
		return nil
	case !utf8.Valid(content):
		return fieldError("", "the body is not valid UTF-8")
	case !json.Valid(content): // bounds the depth, too
		return fieldError("", "the body is not valid JSON")
	}
	tokens := json.NewDecoder(bytes.NewReader(content))
	tokens.UseNumber()
	return strictValue(tokens, "", maxDepth)
}

// maxDepth bounds how deeply a JSON body nests; no request needs as much.
const maxDepth = 32

// strictValue reads the next value of a valid text.
func strictValue(tokens *json.Decoder, pointer string, depth int) error {
	token, err := tokens.Token()
	if err != nil {
		return fieldError("", "the body is not valid JSON")
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		return nil
	}
	if depth == 0 {
		return fieldError("", fmt.Sprintf("the body nests deeper than %d levels", maxDepth))
	}
	names := map[string]bool{}
	for i := 0; tokens.More(); i++ {
		element := strconv.Itoa(i)
		if token == json.Delim('{') {
			next, err := tokens.Token()
			name, ok := next.(string)
			if err != nil || !ok {
				return fieldError("", "the body is not valid JSON")
			}
			element = fieldName(name)
			if names[name] {
				return fieldError(pointer+"/"+element, "must stand once")
			}
			names[name] = true
		}
		if err := strictValue(tokens, pointer+"/"+element, depth-1); err != nil {
			return err
		}
	}
	_, err = tokens.Token() // the bracket that closes
	return err
}

// knownParameters refuses query parameters that the specification does not name,
// and those that stand twice but for lists.
func knownParameters(r *http.Request, operation *openapi3.Operation, item *openapi3.PathItem) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fieldError("", "the query string is malformed")
	}
	for name, values := range query {
		parameter := cmp.Or(operation.Parameters.GetByInAndName("query", name), item.Parameters.GetByInAndName("query", name))
		if len(values) > 1 && (parameter == nil || !parameter.Schema.Value.Type.Is(openapi3.TypeArray)) {
			return fieldError(fieldName(name), "must stand once")
		}
		if parameter == nil {
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
		// Of fields that lack, and fields that are too many, the error is about
		// the object around them.
		names, text := misfits(schema)
		for _, name := range names {
			*fields = append(*fields, FieldError{Pointer: path + "/" + fieldName(name), Detail: text})
		}
		if len(names) == 0 {
			*fields = append(*fields, FieldError{Pointer: path, Detail: detail(schema)})
		}
	default:
		*fields = append(*fields, FieldError{Pointer: pointer, Detail: "the body is not valid JSON"})
	}
}

// misfits names the fields that an object lacks, or has too many.
func misfits(e *openapi3.SchemaError) (names []string, text string) {
	object, ok := e.Value.(map[string]any)
	if !ok || e.Schema == nil {
		return nil, ""
	}
	switch e.SchemaField {
	case "required":
		for _, name := range e.Schema.Required {
			if _, ok := object[name]; !ok {
				names = append(names, name)
			}
		}
		return names, "is required"
	case "properties", "additionalProperties":
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if e.Schema.Properties[name] == nil {
				names = append(names, name)
			}
		}
		return names, "unknown field"
	}
	return nil, ""
}

// detail says what a schema asks for.
func detail(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "type", "nullable": // null is a type, too
		if s.Type != nil {
			return "must be of type " + strings.Join(s.Type.Slice(), " or ")
		}
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
			return fmt.Sprintf("must be from %.0f to %.0f", *s.Min, *s.Max)
		}
	case "format":
		return "must be a " + s.Format
	case "pattern":
		return "must match " + s.Pattern
	}
	return "has the wrong form"
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// fieldName is the name of a submitted field, if it is one: a name may hold
// content, too.
func fieldName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "(not a name)"
}
