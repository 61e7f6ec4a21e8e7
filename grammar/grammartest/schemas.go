package grammartest

// Schema is a JSON schema with texts that are valid and such that are not.
type Schema struct {
	Name, Schema string
	Valid        []string // that the grammar must match
	Invalid      []string
}

// Schemas are of the kinds that people ask models for.
var Schemas = []Schema{
	{"person", `{"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":20},"age":{"type":"integer","minimum":0,"maximum":130},
		"email":{"type":"string","pattern":"^[a-z]{1,10}@[a-z]{1,10}\\.(com|org)$"},"alive":{"type":"boolean"}},"required":["name","age"],"additionalProperties":false}`,
		[]string{`{"name":"Ä","age":130}`, `{"name": "Bo", "age": 0, "email": "a@b.org", "alive":true}`, `{"name":"\"\n\"","age":9,"alive":false}`},
		[]string{`{}`, `{"name":"","age":1}`, `{"name":"a","age":131}`, `{"name":"a","age":-1}`, `{"name":"a","age":01}`, `{"name":"a","age":1,"x":1}`,
			`{"name":"aaaaaaaaaaaaaaaaaaaaa","age":1}`, `{"name":"a","age":1,"email":"a@b.net"}`, `{"name":"a","age":1,}`}},
	{"list", `{"type":"array","items":{"enum":["red","green",3,null,{"a":[1]}]},"minItems":1,"maxItems":4}`,
		[]string{`["red"]`, `["green",3, null,{"a":[1]}]`}, []string{`[]`, `["blue"]`, `[3,3,3,3,3]`, `["red" "red"]`}},
	{"tree", `{"$defs":{"node":{"type":"object","properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},
		"required":["value"],"additionalProperties":false}},"$ref":"#/$defs/node"}`,
		[]string{`{"value":1}`, `{"value":-7,"children":[]}`, `{"value":1,"children":[{"value":2},{"value":3,"children":[{"value":4}]}]}`},
		[]string{`{"children":[]}`, `{"value":1.5}`, `{"value":1,"children":[2]}`}},
	{"union", `{"anyOf":[{"type":"string","maxLength":5},{"type":"number","exclusiveMinimum":-2,"maximum":3},{"type":"null"}]}`,
		[]string{`"abcde"`, `3`, `-1.5`, `0.25`, `null`, `2.999`, `-1`, `0`}, []string{`"abcdef"`, `-2`, `4`, `3.1`, `-2.5`, `true`}},
	{"shape", `{"oneOf":[{"type":"object","properties":{"kind":{"const":"circle"},"r":{"type":"number","minimum":0}},"required":["kind","r"]},
		{"type":"object","properties":{"kind":{"const":"box"},"w":{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":100},"h":{"type":"integer"}},"required":["kind","w"]}]}`,
		[]string{`{"kind":"circle","r":0.5}`, `{"kind":"box","w":99}`, `{"kind": "box", "w": 1, "h":-3}`}, []string{`{"kind":"box","w":100}`, `{"kind":"box","r":1}`, `{"kind":"circle","r":-1}`}},
	{"map", `{"type":"object","properties":{"id":{"type":"string"},"if":true},"required":["id"],"additionalProperties":{"type":"integer"}}`,
		[]string{`{"id":"x"}`, `{"id":"x","if":[],"i":1,"idd":2,"":3}`, `{"id":"","ix":1}`}, []string{`{}`, `{"id":1}`, `{"id":"x","a":"b"}`}},
	{"tuple", `{"type":"array","prefixItems":[{"type":"string","format":"date"},{"type":"boolean"}],"items":{"type":"integer"},"minItems":2,"maxItems":4}`,
		[]string{`["2024-02-28",true]`, `["1999-12-31", false, 1, -2]`}, []string{`["2024-02-31",true]`, `["2024-01-01"]`, `["2024-01-01",true,1,2,3]`}},
	{"merged", `{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":5}},"required":["a"]},
		{"properties":{"a":{"maximum":7},"b":{"enum":["x","y"]}},"required":["b"]}]}`,
		[]string{`{"a":5,"b":"x"}`, `{"a":7,"b":"y"}`}, []string{`{"a":8,"b":"x"}`, `{"a":5}`}},
	{"anything", `true`, []string{`{"a":[1,-2.5e3,null,true,"\"é\\"]}`, `[]`, `{}`, `"x"`}, []string{``, `{a:1}`, `[1,]`, `01`, `"`, `+1`}},
	{"free object", `{"type":["object","null"]}`, []string{`{}`, `{"a":{"b":[1]}}`, `null`}, []string{`[]`, `1`}},
	{"patterns", `{"type":"array","items":{"type":"string","pattern":"^(\\d{3}-)?[A-F\"\\\\]+$|x.y"}}`,
		[]string{`["ABC"]`, `["123-\"A\\"]`, `["xéy", "aaxbybb"]`}, []string{`["G"]`, `["12-A"]`, `["xy"]`}},
	{"wide", `{"type":"object","properties":{"n":{"type":"integer","minimum":-1050,"maximum":20999},"t":{"type":"string","format":"date-time"},"u":{"type":"string","format":"uuid"}},"required":["n"]}`,
		[]string{`{"n":-1050}`, `{"n":20999}`, `{"n":-1,"t":"2020-01-02T03:04:05.5Z"}`, `{"n":0}`, `{"n":999}`, `{"n":10000}`}, []string{`{"n":-1051}`, `{"n":21000}`}},
}
