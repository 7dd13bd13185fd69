# frozen_string_literal: true

# Every String that an application is given can be searched, whatever bytes a client has sent; and
# nobody's bytes end the reactor.
RSpec.describe EventMachine::WebSocket, "and a client's bytes" do
  latin1 = "name=Ren\xE9; sid=42".b.freeze

  # A String that no search raises on.
  def searchable
    satisfy("be searchable") do |string|
      string.valid_encoding? && string =~ /\z/ && string.split("x") && string[/=(\d+)/, 1].to_s
    end
  end

  # With `raw`, the bytes pass through a hook of the application's own.
  def serve_as(raw, options = {})
    serve(options) do |ws|
      ws.define_singleton_method(:receive_data) { |data| super(data) } if raw
      yield ws
    end
  end

  {
    "in the background" => [false, {}],
    "on EventMachine's own sockets" => [false, { attached: true }],
    "where a hook is the application's own" => [true, {}]
  }.each do |where, (raw, metadata)|
    describe(where, **metadata) do
      Drafts::ALL.each do |draft|
        it "lets a header be searched that is not UTF-8, in #{draft}" do
          serve_as(raw) do |ws|
            echo(ws)
            ws.onopen { |handshake| ws.send(+"#{handshake.headers["Cookie"][/sid=(\d+)/, 1]}, hi") }
          end
          client = connect(draft, headers: { "Cookie" => latin1 })

          expect(client.read_text).to eq("42, hi")
          client.text("and on")
          expect(client.read_text).to eq("and on")
        end
      end

      it "tells nothing of a handshake that cannot be searched" do
        serve_as(raw) { |ws| record(ws) }
        connect(target: "/a?b=c&d", headers: { "Cookie" => [latin1, "é".b], "Origin" => "x\xFF".b })
        handshake = next_event(:open).value
        strings = [handshake.path, handshake.query_string, handshake.origin,
                   *handshake.query.flatten.compact, *handshake.headers.flatten(2),
                   *handshake.headers_downcased.flatten(2)]

        expect(strings).to all(searchable)
        expect(handshake.origin.b).to eq("x\xFF".b)
        expect(handshake.headers["Cookie"].map(&:b)).to eq([latin1, "é".b])
      end

      it "labels a header UTF-8 where it is that, and ASCII-8BIT where it is not", :fixed do
        serve_as(raw) { |ws| record(ws) }
        connect(headers: { "Cookie" => [latin1, "é".b, "e"],
                           "Sec-WebSocket-Protocol" => "\xFF, é".b })
        handshake = next_event(:open).value
        strings = handshake.headers["Cookie"] + handshake.protocols

        expect(strings).to eq([latin1, "é", "e", "\xFF".b, "é"])
        expect(strings.map(&:encoding)).to eq(
          [Encoding::BINARY, Encoding::UTF_8, Encoding::UTF_8, Encoding::BINARY, Encoding::UTF_8]
        )
        expect(handshake.protocol).to eq("\xFF".b).and searchable
      end

      it "tells of errors that can be searched" do
        serve_as(raw) { |ws| record(ws) }
        ["/\xC3\xA9", "/\xFF", "/%"].each do |target|
          client = dial
          client.write(client.request(target: target.b, headers: { "Upgrade" => "x\xFF".b }))
          client.read_to_end
          expect(next_event(:error).value.message).to searchable
        end
        expect(server.reactor.thread).to be_alive
      end

      Drafts::ALL.each do |draft|
        it "is ended by text that is not UTF-8, and nobody else is, in #{draft}",
           fixed: !draft.close_codes? do
          serve_as(raw) do |ws|
            ws.onmessage { |text| text =~ /é/ && ws.send(text.split("é").join) }
          end
          bystander = connect
          client = connect(draft)
          client.text("\xC3\xE9")
          client.read_to_end
          bystander.text("aéb")

          expect(bystander.read_text).to eq("ab")
        end
      end

      describe ":origins", :extension do
        def status(origin)
          connect(headers: { "Origin" => origin }).response[:status][9, 3]
        end

        {
          "a Regexp" => %r{\Ahttps://example\.com\z}, "any byte" => %r{\Ahttps://ex.mple\.com\z}n,
          "a Regexp beyond ASCII" => %r{\Ahttps://exämple\.com\z},
          "a Regexp of another encoding" => Regexp.new("\xE4".dup.force_encoding("ISO-8859-1")),
          "a String" => "https://example.com", "a String beyond ASCII" => "https://exämple.com",
          "a String of bytes" => "https://exämple.com".b
        }.each do |what, allowed|
          it "is held against bytes that are not UTF-8: #{what}" do
            serve_as(raw, origins: [allowed, "http://good"]) { |ws| ws.onopen { ws.send(+"hi") } }
            seen = ["https://ex\xE4mple.com".b, "\xFF".b, "https://exämple.com", "http://good"]

            bytes = what == "any byte" ? "101" : "403"
            umlaut = what.end_with?("beyond ASCII", "of bytes") ? "101" : "403"
            expect(seen.map { |origin| status(origin) }).to eq([bytes, "403", umlaut, "101"])
          end
        end
      end
    end
  end
end
