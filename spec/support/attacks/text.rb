# frozen_string_literal: true

require_relative "table"

# Text that is not UTF-8 (RFC 3629).

bad_texts =
  {
    "a byte that begins nothing" => "a\xFFb", "a byte that continues nothing" => "a\x80b",
    "a character cut short by another" => "\xE4\xB8a", "an overlong slash" => "\xC0\xAF",
    "an overlong slash of three bytes" => "\xE0\x80\xAF",
    "an overlong slash of four bytes" => "\xF0\x80\x80\xAF", "an overlong NUL" => "\xC0\x80",
    "a high surrogate" => "\xED\xA0\x80", "a low surrogate" => "\xED\xBF\xBF",
    "a pair of surrogates" => "\xED\xA0\xBD\xED\xB8\x80",
    "a character beyond U+10FFFF" => "\xF4\x90\x80\x80", "a character of five bytes" =>
      "\xF8\x88\x80\x80\x80", "Latin-1" => "gr\xFC\xDFe"
  }

Attacks.frames "text", drafts: Attacks::FRAMED do
  text = "Invalid UTF8 data"
  bad_texts.each do |name, bytes|
    fails name, "RFC 6455 8.1", 1007, text do |client|
      client.encode(:text, bytes)
    end
    fails "#{name}, split over fragments", "RFC 6455 8.1", 1007, text do |client|
      client.encode_fragments(:text, bytes.b.chars)
    end
  end
  fails "a character that the end of its message cuts short", "RFC 6455 8.1", 1007,
        text do |client|
    client.encode(:text, "caf\xC3")
  end
  fails "a character that the last fragment cuts short", "RFC 6455 8.1", 1007, text do |client|
    client.encode_fragments(:text, ["ok", "\xE4\xB8"])
  end
  fails "a bad byte in a fragment, with more to come", "RFC 6455 8.1", 1007, text do |client|
    client.encode(:text, "a\xC0b", last: false)
  end
  fails "a bad byte in a frame that has not all come", "RFC 6455 8.1", 1007, text do |client|
    client.encode(:text, "a\xC0b#{"c" * 100}")[0, 30]
  end
  fails "half of a surrogate in a fragment, with more to come", "RFC 6455 8.1", 1007,
        text do |client|
    client.encode(:text, "\xED", last: false) + client.encode(:continuation, "\xA0", last: false)
  end
  takes "a character split over fragments", "RFC 6455 5.4", [[:text, "grüße"]] do |client|
    client.encode_fragments(:text, "grüße".b.chars)
  end
  takes "U+FEFF, NUL and U+FFFF", "RFC 3629 3", [[:text, "\uFEFF\0\uFFFF"]] do |client|
    client.encode(:text, "\uFEFF\0\uFFFF")
  end
end

# FF ends a text there.
Attacks.frames "text between 00 and FF", drafts: Attacks::SENTINELS do
  bad_texts.except("a byte that begins nothing").each do |name, bytes|
    fails name, "RFC 3629 3", 1007, "Invalid UTF8 data" do |client|
      client.encode(:text, bytes)
    end
    fails "#{name}, behind good text", "RFC 3629 3", 1007, "Invalid UTF8 data",
          replies: [[:text, "good"]] do |client|
      client.encode(:text, "good") + client.encode(:text, bytes) + client.encode(:text, "late")
    end
  end
  takes "U+FEFF, NUL and U+FFFF", "RFC 3629 3", [[:text, "\uFEFF\0\uFFFF"]] do |client|
    client.encode(:text, "\uFEFF\0\uFFFF")
  end
end
