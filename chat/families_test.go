package chat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

var noon = time.Date(2024, 7, 5, 12, 0, 0, 0, time.UTC)

var (
	system    = Message{Role: "system", Content: "Be brief."}
	hello     = Message{Role: "user", Content: " Hello "}
	answer    = Message{Role: "assistant", Content: "Hi!"}
	reasoned  = Message{Role: "assistant", Content: "Hi!", Reasoning: "A greeting."}
	tagged    = Message{Role: "assistant", Content: "<think>A greeting.</think>\n\nHi!"}
	goodbye   = Message{Role: "user", Content: "Bye"}
	wholeTalk = []Message{system, hello, answer, goodbye}
)

// family is a template that does, with the constructs that this family's publishers use, what their own does.
type family struct {
	name, template, bos, eos string
	messages                 []Message
	want                     string
}

var families = []family{
	{"llama 2", `{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set sys = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set sys = false %}{% endif %}
{% for m in rest %}
{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}
{% if loop.index0 == 0 and sys != false %}{% set text = '<<SYS>>\n' + sys + '\n<</SYS>>\n\n' + m['content'] %}{% else %}{% set text = m['content'] %}{% endif %}
{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}
{% endfor %}`, "<s>", "</s>", wholeTalk,
		"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hello [/INST] Hi! </s><s>[INST] Bye [/INST]"},
	{"llama 3", `{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set sys = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set sys = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Today: " + date_string + "\n\n" }}
{{- sys }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}`, "<|begin_of_text|>", "<|eot_id|>", wholeTalk,
		"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday: 05 Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\nHi!<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
	{"chatml", `{% for message in messages %}
{% if loop.first and message.role != 'system' %}
{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}
{%- endif %}
{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}
{%- endif %}`, "", "<|im_end|>", []Message{hello},
		"<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n"},
	{"qwen 3", `{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.last = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
            {%- set reasoning = message.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and reasoning %}
            {{- '<|im_start|>assistant\n<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}`, "", "<|im_end|>", []Message{system, hello, tagged, goodbye},
		"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n" +
			"<|im_start|>assistant\n<think>\n\n</think>\n\n"},
	{"mistral", `{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("turns must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if message == user_messages[-1] and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}`, "<s>", "</s>", wholeTalk,
		"<s>[INST]  Hello [/INST] Hi!</s>[INST] Be brief.\n\nBye[/INST]"},
	{"gemma", `{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}`, "<bos>", "<eos>", []Message{hello, answer, goodbye},
		"<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\nHi!<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"},
	{"phi 3", `{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
' + message['content'] + '<|end|>
'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}`, "<s>", "<|endoftext|>", wholeTalk,
		"<|system|>\nBe brief.<|end|>\n<|user|>\n Hello <|end|>\n<|assistant|>\nHi!<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n"},
	{"zephyr", `{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}`, "<s>", "</s>", wholeTalk,
		"<|system|>\nBe brief.</s>\n<|user|>\n Hello </s>\n<|assistant|>\nHi!</s>\n<|user|>\nBye</s>\n<|assistant|>\n"},
	{"deepseek r1", `{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt %}{{'<｜Assistant｜><think>\n'}}{% endif %}`,
		"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", []Message{system, hello, tagged, goodbye},
		"<｜begin▁of▁sentence｜>Be brief.<｜User｜> Hello <｜Assistant｜>\n\nHi!<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜><think>\n"},
	{"glm 4", `[gMASK]<sop>{% macro said(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content if part.type == 'text' %}{{ part.text }}{% endfor %}{% endif %}{% endmacro %}
{% for item in messages %}{% if item['role'] == 'system' %}<|system|>
{{ said(item['content']) }}{% elif item['role'] == 'user' %}<|user|>
{{ said(item['content']) }}{% elif item['role'] == 'assistant' %}<|assistant|>
{{ said(item['content']) }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}`, "", "<|endoftext|>", wholeTalk,
		"[gMASK]<sop><|system|>\nBe brief.<|user|>\n Hello <|assistant|>\nHi!<|user|>\nBye<|assistant|>\n"},
	{"granite", `{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = "Today is " + strftime_now('%B %d, %Y') + "." %}{%- set loop_messages = messages %}{%- endif %}{{ '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}
{%- for message in loop_messages %}{{ '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\n' }}{% if loop.last and add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}{%- endfor %}`, "", "<|end_of_text|>", []Message{hello},
		"<|start_of_role|>system<|end_of_role|>Today is July 05, 2024.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|> Hello <|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"},
	{"reasoning as a field", `{% for m in messages %}{% generation %}{{ m.role }}:{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content | tojson }};{% endgeneration %}{% endfor %}`, "", "", []Message{reasoned},
		`assistant:(A greeting.)"Hi!";`},
}

func TestFamilies(t *testing.T) {
	for _, f := range families {
		tmpl, err := Parse(f.template, f.bos, f.eos)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		got, err := tmpl.Render(f.messages, Options{Now: noon})
		if err != nil || got != f.want {
			t.Errorf("%s:\n%q, %v, want\n%q", f.name, got, err, f.want)
		}
	}
}

// TestRefusals: what a template refuses is the user's matter, what it does wrong the template's.
func TestRefusals(t *testing.T) {
	tok := words(t)
	for _, f := range families {
		if f.name != "gemma" {
			continue
		}
		tmpl, err := Parse(f.template, "", "")
		if err != nil {
			t.Fatal(err)
		}
		var usage *fault.Usage
		if _, _, err := tmpl.Prompt(tok, wholeTalk, Options{}, 100, false); !errors.As(err, &usage) || !strings.Contains(err.Error(), "no system role") {
			t.Errorf("%v", err)
		}
	}
	tmpl, err := Parse("{{ nothing.here.is }}", "", "")
	if err != nil {
		t.Fatal(err)
	}
	var format *fault.Format
	if _, _, err := tmpl.Prompt(tok, wholeTalk, Options{}, 100, false); !errors.As(err, &format) {
		t.Errorf("%v", err)
	}
}

// words is a tokenizer of a few words and two special tokens.
func words(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Parse([]byte(`{"model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1,"b":2,"<":3,"end":4,">":5,":":6,"sys":7},"unk_token":"[UNK]"},
		"pre_tokenizer":{"type":"Whitespace"},"added_tokens":[{"id":8,"content":"<end>","special":true},{"id":9,"content":"<|eot_id|>","special":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestPlainContent: what a user writes is no special token, what the template writes is.
func TestPlainContent(t *testing.T) {
	tok := words(t)
	tmpl, err := Parse(`{% for m in messages %}{{ m.content }} <end> {% endfor %}`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, ids, err := tmpl.Prompt(tok, []Message{{Role: "user", Content: "a <end> b"}, {Role: "assistant", Content: "b"}}, Options{}, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	special := 0
	for _, id := range ids {
		if id == 8 {
			special++
		}
	}
	if special != 2 || ids[0] != 1 || ids[len(ids)-1] != 8 {
		t.Errorf("%v", ids)
	}
	if got := EndTokens(tok, []int{8}); len(got) != 2 || got[1] != 9 {
		t.Errorf("end tokens %v", got)
	}
}

// TestOverflow: the oldest turns go, the system's message and the last question stay.
func TestOverflow(t *testing.T) {
	tok := words(t)
	tmpl, err := Parse(`{% for m in messages %}{{ m.content }} {% endfor %}`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	talk := []Message{{Role: "system", Content: "sys"}, {Role: "user", Content: "a a a"}, {Role: "assistant", Content: "b b"}, {Role: "user", Content: "a b a"}}
	var usage *fault.Usage
	if _, _, err := tmpl.Prompt(tok, talk, Options{}, 5, false); !errors.As(err, &usage) {
		t.Errorf("too long: %v", err)
	}
	if text, ids, err := tmpl.Prompt(tok, talk, Options{}, 5, true); err != nil || text != "sys a b a " || len(ids) != 4 {
		t.Errorf("%q, %v, %v", text, ids, err)
	}
	if _, _, err := tmpl.Prompt(tok, talk, Options{}, 3, true); !errors.As(err, &usage) {
		t.Errorf("the last turn too long: %v", err)
	}
}

// TestReply: however the text is cut into pieces, thoughts and speech come apart the same way.
func TestReply(t *testing.T) {
	for _, c := range []struct{ prompt, text, thought, said string }{
		{"", "Hello there", "", "Hello there"},
		{"", "  Hello", "", "Hello"},
		{"", "<think>hm</think>\n\nYes <b>", "hm", "Yes <b>"},
		{"", "\n<think>\nhm\n", "\nhm\n", ""},
		{"x<think>\n", "hm</thinks></think>Yes", "hm</thinks>", "Yes"},
		{"", "<thin", "", "<thin"},
		{"", "<b>x</think>", "", "<b>x</think>"},
		{"", "<think>é</think>日", "é", "日"},
	} {
		for size := 1; size <= len(c.text); size++ {
			var said, thought strings.Builder
			r := NewReply(c.prompt, func(s string) error { said.WriteString(s); return nil }, func(s string) error { thought.WriteString(s); return nil })
			for rest := c.text; rest != ""; rest = rest[min(size, len(rest)):] {
				if err := r.Write(rest[:min(size, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if said.String() != c.said || thought.String() != c.thought || r.Message().Content != c.said {
				t.Errorf("%q by %d: said %q, thought %q", c.text, size, said.String(), thought.String())
			}
		}
	}
}
