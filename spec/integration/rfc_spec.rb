# frozen_string_literal: true

# Things that RFC 6455 forbids and em-websocket lets pass.
RSpec.describe EventMachine::WebSocket, "held to RFC 6455" do
  [7, 8, 13].each do |number|
    context "in draft #{number}", :fixed do
      let(:draft) { Drafts[number] }
      let!(:client) do
        serve
        connect(draft).tap { open_connection }
      end

      # The client sees this close code, then the end; onerror and onclose follow.
      def expect_failure(code, error_class = EM::WebSocket::WSProtocolError)
        expect(client.read(:close).unpack1("n")).to eq(code)
        expect(client).to be_eof
        expect(next_event(:error)).to have_attributes(
          value: be_instance_of(error_class).and(have_attributes(code: code)), state: :closing
        )
        expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
        expect(events).to be_empty
      end

      [0x40, 0x20, 0x10, 0x70].each do |bits|
        it "refuses the reserved bits #{bits.to_s(16)}" do
          client.text("x", reserved: bits)

          expect_failure(1002)
        end
      end

      %i[ping pong].each do |type|
        it "refuses a #{type} of more than 125 bytes" do
          client.write(client.encode(type, "x" * 126))

          expect_failure(1002)
        end
      end

      it "refuses a close frame of more than 125 bytes" do
        client.close(1000, "x" * 124)

        expect_failure(1002)
      end

      [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535].each do |code|
        it "refuses the close code #{code}" do
          client.close(code)

          expect_failure(1002)
        end
      end

      [1000, 1001, 1002, 1003, 1007, 1011, 3000, 4999].each do |code|
        it "takes the close code #{code}" do
          client.close(code, "why")

          expect(client.read(:close)).to eq([code].pack("n"))
          expect(next_event(:close).value).to eq(code: code, reason: "why", was_clean: true)
        end
      end

      it "refuses a close reason that is not UTF-8" do
        client.close(1000, "\xFF")

        expect_failure(1007, EM::WebSocket::InvalidDataError)
      end

      it "hands the close reason over as UTF-8" do
        client.close(1000, "grüße")
        reason = next_event(:close).value[:reason]

        expect([reason, reason.encoding]).to eq(["grüße", Encoding::UTF_8])
      end

      it "refuses a character that its last fragment leaves unfinished" do
        client.fragments(:text, ["ok", "\xE4\xB8"])

        expect_failure(1007, EM::WebSocket::InvalidDataError)
      end
    end
  end

  {
    "two keys" => { "Sec-WebSocket-Key" => ["dGhlIHNhbXBsZSBub25jZQ=="] * 2 },
    "a key that is not base64" => { "Sec-WebSocket-Key" => "not base64, not at all!!" },
    "a key that is too long" => { "Sec-WebSocket-Key" => "dGhlIHNhbXBsZSBub25jZQ==AAAA" },
    "no Host" => { "Host" => nil },
    "two Hosts" => { "Host" => %w[a b] }
  }.each do |what, headers|
    it "refuses #{what}", :fixed do
      serve
      client = dial
      client.write(client.request(headers: headers))

      expect(client.read_response[:status]).to start_with("HTTP/1.1 400 ")
      expect(next_event(:error).value).to be_instance_of(EM::WebSocket::HandshakeError)
      expect(client.read_to_end).to be_a(String)
    end
  end

  it "answers pings at once, each of them, where the client reads", :fixed do
    serve
    client = connect
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    3.times { |number| client.ping(number.to_s).then { client.read(:pong) } }

    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - start).to be < 0.15
  end

  it "offers no extension that it does not speak" do
    serve
    client = connect(headers: { "Sec-WebSocket-Extensions" => "x-unheard-of; a=1" })
    client.text("plain")

    expect(client.response[:lines].grep(/extensions/i)).to be_empty
    expect(client.read_text).to eq("plain")
  end

  # The reason that `close(4000, reason)` puts on the wire.
  kept = {
    nil => "", "" => "", "bye" => "bye", "adiós".b => "adiós", "bye".encode("US-ASCII") => "bye",
    65 => "A"
  }
  # Em-websocket raises on them, or sends what is not UTF-8.
  fixed = {
    "adiós" => "adiós", "adiós".encode("UTF-16LE") => "adiós", "adiós".encode("UTF-16") => "adiós",
    "adiós".encode("ISO-8859-1") => "adiós", "さよなら".encode("Shift_JIS") => "さよなら",
    "bye\xFF".b => "bye\uFFFD", "bye\xFF" => "bye\uFFFD", "\xC3".b => "\uFFFD", 233 => "\uFFFD",
    "\x81".dup.force_encoding("Windows-1252") => "\uFFFD",
    "bye".dup.force_encoding("UTF-7") => "bye", ("é" * 62).b => "é" * 61,
    "\xFF".b * 50 => "\uFFFD" * 41
  }
  # Raised by em-websocket, too; the connection goes on.
  wrong = {
    bye: TypeError, 1.5 => TypeError, [] => TypeError, 256 => RangeError, -1 => RangeError,
    (2**64) => RangeError
  }

  {
    "in the background" => {}, "on EventMachine's own sockets" => { attached: true }
  }.each do |where, metadata|
    describe "the reason of a close #{where}", **metadata do
      def close_with(reason, draft = Drafts::RFC)
        serve { |ws| record(ws) }
        client = connect(draft)
        ws = open_connection
        server.call { ws.close(4000, reason) }
        client
      end

      [[kept, {}], [fixed, { fixed: true }]].each do |reasons, tags|
        reasons.each do |reason, sent|
          it "is sent as UTF-8: #{reason.inspect} (#{reason.class}, #{
            reason.encoding if reason.is_a?(String)})", **tags do
            before = reason.dup
            client = close_with(reason)

            expect(client.read(:close)).to eq("\x0F\xA0".b + sent.b)
            expect(reason).to eq(before)
          end
        end
      end

      wrong.each do |reason, error|
        it "is not #{reason.inspect}: #{error}" do
          serve { |ws| record(ws) }
          client = connect
          ws = open_connection

          expect { server.call { ws.close(4000, reason) } }.to raise_error(error)
          server.call { ws.send(+"still here") }
          expect(client.read_text).to eq("still here")
        end
      end

      # There is none on the wire, so that nobody looks at it.
      (Drafts::ALL.reject(&:close_codes?) + [nil]).each do |draft|
        it "may be anything in #{draft || "a close without a code"}" do
          serve { |ws| ws.onopen { ws.close(draft && 4000, :bye) } }
          client = connect(draft || Drafts::RFC)

          expect(client.read_frame).to eq(:eof).or have_attributes(type: :close)
        end
      end
    end
  end
end
