# frozen_string_literal: true

# Clients that may open a WebSocket, and its subprotocol: `:protocols`, `:origins`, `onrequest`.
RSpec.describe EventMachine::WebSocket, "and an opening handshake", :extension do
  def offering(*protocols, draft: Drafts::RFC, **options)
    headers = draft.headers.merge(options.delete(:headers) || {})
    headers = headers.merge("Sec-WebSocket-Protocol" => protocols.join(", ")) if protocols.any?
    connect(draft, headers: headers, **options)
  end

  def status(client) = client.response[:status]

  def fields(client, name)
    client.response[:lines].grep(/\A#{name}: /).map do |line|
      line[/: (.*)/, 1]
    end
  end

  def selected(client) = fields(client, "Sec-WebSocket-Protocol")

  # Bytes that follow the header, up to the end of the connection.
  def body(client)
    client.read_to_end.tap do |all|
      expect(all.bytesize).to eq(Integer(fields(client, "Content-Length").first))
    end
  end

  # An echo server whose connections are asked.
  def asking(options = {}, &block)
    serve(options) do |ws|
      echo(ws)
      ws.onrequest(&block)
    end
  end

  ways = { "in the background" => {}, "on EventMachine's own sockets" => { attached: true } }
  ways.each do |way, metadata|
    describe(way, **metadata) do
      describe ":protocols" do
        it "selects the first of the server's that the client offers" do
          serve(protocols: %w[v3.chat v2.chat v1.chat])

          expect(selected(offering("v1.chat", "v2.chat", "other"))).to eq(["v2.chat"])
        end

        it "goes on without one where there is none in common, or none is offered" do
          serve(protocols: "v2.chat")

          expect([offering("v1.chat", "V2.CHAT"), offering].map do |one|
                   [status(one), selected(one)]
                 end)
            .to eq([["HTTP/1.1 101 Switching Protocols", []]] * 2)
        end

        it "finds an offer in any of several headers" do
          serve(protocols: %w[b])

          expect(selected(offering(headers: { "Sec-WebSocket-Protocol" => ["a",
                                                                           "c , b"] })))
            .to eq(["b"])
        end

        it "refuses who has none in common where one is required" do
          serve(protocols: %w[v2.chat], protocols_required: true)
          good = offering("v2.chat")
          bad = [offering("v1.chat"), offering]

          expect(selected(good)).to eq(["v2.chat"])
          expect(bad.map { |client| status(client) }).to eq(["HTTP/1.1 400 Bad Request"] * 2)
          errors = Array.new(3) { next_event }.select { |event| event.name == :error }
          expect(errors.map { |event| [event.value.class, event.value.message] })
            .to eq([[EM::WebSocket::HandshakeError,
                     "None of the offered subprotocols is supported"]] * 2)
        end

        it "asks a callable :protocols with the handshake" do
          serve(protocols: ->(handshake) { handshake.protocols.last if handshake.path == "/last" })

          expect([selected(offering("a", "b", target: "/last")), selected(offering("a", "b"))])
            .to eq([["b"], []])
        end

        it "refuses with 400 where a required one is not selected by a callable :protocols" do
          serve(protocols: ->(_) {}, protocols_required: true)
          client = offering("a")

          expect([status(client), body(client)])
            .to eq(["HTTP/1.1 400 Bad Request", "None of the offered subprotocols is supported"])
          expect(next_event(:error).value).to be_instance_of(EM::WebSocket::HandshakeError)
        end

        it "answers 500 and tells onerror where :protocols selects what was not offered" do
          serve(protocols: ->(_) { "b" })
          client = offering("a")

          expect(status(client)).to eq("HTTP/1.1 500 Internal Server Error")
          expect(next_event(:error).value).to be_instance_of(EM::WebSocket::WebSocketError)
            .and have_attributes(message: 'The client has not offered the subprotocol "b"')
        end

        Drafts::ALL.each do |draft|
          it "shows onopen what was offered and selected in #{draft}" do
            serve(protocols: %w[v2]) do |ws|
              ws.onopen { |handshake| note(:open, [handshake.protocols, handshake.protocol]) }
            end
            client = offering("v1", "v2", draft: draft)

            expect(selected(client)).to eq(draft.number == 75 ? [] : ["v2"])
            expect(next_event(:open).value).to eq([%w[v1 v2], draft.number == 75 ? nil : "v2"])
          end
        end

        it "selects the client's first without :protocols" do
          serve { |ws| ws.onopen { |handshake| note(:open, handshake.protocol) } }

          expect(selected(offering("b", "a"))).to eq(["b"])
          expect(next_event(:open).value).to eq("b")
        end
      end

      describe ":origins" do
        it "refuses any other with 403" do
          serve(origins: ["http://example.com", %r{\Ahttps://[a-z]+\.example\.org\z}])
          accepted = ["http://example.com", "https://a.example.org"]
          refused = ["http://example.com.evil", "https://a.example.org.evil", "null", nil]
          answers = (accepted + refused).map { |origin| offering(headers: { "Origin" => origin }) }

          expect(answers.map { |client| status(client)[9, 3] }).to eq(%w[101 101 403 403 403 403])
          errors = Array.new(6) { next_event }.select { |event| event.name == :error }
          expect(errors.map { |event| event.value.message })
            .to match_array(refused.map { |origin| "Origin #{origin.inspect} not allowed" })
          expect(errors.map do |event|
                   event.value.class
                 end.uniq).to eq([EM::WebSocket::HandshakeError])
        end

        it "lets clients without one in where nil is among them" do
          serve(origins: ["http://example.com", nil])

          expect(status(offering(headers: { "Origin" => nil }))).to include("101")
        end

        it "takes the Sec-WebSocket-Origin of the drafts between" do
          serve(origins: "http://example.com")
          headers = { "Origin" => nil, "Sec-WebSocket-Origin" => "http://evil" }

          expect(status(offering(draft: Drafts[8], headers: headers))).to include("403")
        end
      end

      describe "onrequest" do
        it "refuses with a status, a body and headers" do
          asking do |handshake, response|
            note(:request, handshake.path)
            response.refuse(401, "Who are you?", "WWW-Authenticate" => 'Basic realm="chat"',
                                                 "Set-Cookie" => %w[a=1 b=2])
          end
          client = offering(target: "/private")

          expect(client.response[:lines]).to eq(
            ["Connection: close", 'WWW-Authenticate: Basic realm="chat"', "Set-Cookie: a=1",
             "Set-Cookie: b=2", "Content-Type: text/plain; charset=utf-8", "Content-Length: 12"]
          )
          expect([status(client),
                  body(client)]).to eq(["HTTP/1.1 401 Unauthorized", "Who are you?"])
          expect(next_event(:request)).to have_attributes(value: "/private", thread: server.thread)
          # Neither onerror nor onclose: the application knows.
          expect(events).to be_empty
        end

        it "redirects" do
          asking { |_, response| response.refuse(307, "", "Location" => "ws://127.0.0.1/there") }
          client = offering

          expect(status(client)).to eq("HTTP/1.1 307 Temporary Redirect")
          expect(fields(client, "Location")).to eq(["ws://127.0.0.1/there"])
        end

        it "adds headers to the answer, selects the subprotocol, and then opens" do
          asking do |handshake, response|
            note(:request, [handshake.protocol, response.protocol])
            response.headers["Set-Cookie"] = %w[a=1 b=2]
            response.protocol = "b"
          end
          client = offering("a", "b")
          client.text("hello")

          expect(client.response[:lines].drop(3))
            .to eq(["Sec-WebSocket-Protocol: b", "Set-Cookie: a=1", "Set-Cookie: b=2"])
          expect(client.read_text).to eq("hello")
          expect([next_event(:request).value,
                  next_event(:open).value.protocol]).to eq([%w[a a], "b"])
        end

        Drafts::ALL.each do |draft|
          it "comes before onopen, and loses nothing sent after the handshake, in #{draft}" do
            asking { |handshake, _| note(:request, handshake.protocol_version) }
            client = connect(draft)
            client.text("hello")

            expect(client.read_text).to eq("hello")
            expect([next_event(:request).value, next_event.name, next_event.name])
              .to eq([draft.number, :open, :message])
          end
        end

        it "may decide later, from any thread" do
          threads = []
          asking do |_, response|
            response.defer
            threads << Thread.new do
              response.headers["X-Late"] = "yes"
              response.accept
            end
          end
          client = dial
          # The first frame is in the handshake's own segment.
          client.open(with: client.encode(:text, "early"))
          threads.each(&:join)

          expect(fields(client, "X-Late")).to eq(["yes"])
          expect(client.read_text).to eq("early")
          expect(next_event(:open).thread).to be(server.thread)
        end

        it "may refuse later" do
          asking do |_, response|
            response.defer
            EM.next_tick { response.refuse(403) }
          end

          expect(status(offering)).to eq("HTTP/1.1 403 Forbidden")
        end

        it "does nothing for a decision that comes after the client has gone" do
          asking do |_, response|
            response.defer
            note(:request, response)
          end
          client = dial
          client.write(client.request)
          response = next_event(:request).value
          client.reset
          server.stop

          expect([response.accept, response.refuse(403)]).to eq([nil, nil])
          expect(events).to be_empty
        end

        it "can be answered once" do
          asking do |_, response|
            response.refuse(404)
            response.refuse(403)
          end
          client = offering

          expect(status(client)).to eq("HTTP/1.1 500 Internal Server Error")
          expect(next_event(:error).value.message).to end_with("is answered already")
        end

        it "answers 500 where the block raises, and tells onerror" do
          asking { raise "no" }
          client = offering

          expect([status(client), body(client)])
            .to eq(["HTTP/1.1 500 Internal Server Error", "Internal Server Error"])
          expect(next_event(:error).value)
            .to be_instance_of(RuntimeError).and have_attributes(message: "no")
          expect(events).to be_empty
        end

        it "raises out of the reactor where there is no onerror" do
          serve { |ws| ws.onrequest { raise ArgumentError, "no" } }
          dial.then { |client| client.write(client.request) }

          expect { server.reactor.join }.to raise_error(ArgumentError, "no")
        end

        [%w[X:Y z], ["X", "a\r\nSet-Cookie: b"], %w[Connection close], %w[Sec-WebSocket-Accept x],
         %w[Transfer-Encoding chunked]].each do |name, value|
          it "does not let #{name.inspect}: #{value.inspect} into the answer" do
            asking { |_, response| response.headers[name] = value }
            client = offering

            expect(status(client)).to eq("HTTP/1.1 500 Internal Server Error")
            expect(next_event(:error).value)
              .to have_attributes(
                message: "#{name.inspect} cannot be added as an HTTP header field"
              )
          end
        end

        [101, 199, 600, 0, -1, 70_000].each do |number|
          it "does not refuse with #{number}" do
            asking { |_, response| response.refuse(number) }

            expect(status(offering)).to eq("HTTP/1.1 500 Internal Server Error")
            expect(next_event(:error).value.message)
              .to end_with("is no HTTP status to refuse with (200 to 599)")
          end
        end

        it "is not asked about what is refused anyway" do
          asking { note(:request) }

          expect(status(offering(headers: { "Sec-WebSocket-Version" => "99" }))).to include("426")
          expect(next_event(:error).value.message).to eq("Protocol version 99 not supported")
          expect(events).to be_empty
        end

        it "may be a method of a subclass" do
          serve do |ws|
            ws.define_singleton_method(:trigger_on_request) { |_, response| response.refuse(418) }
          end

          expect(status(offering)).to start_with("HTTP/1.1 418")
        end
      end
    end
  end

  it "asks onrequest over TLS, too" do
    serve(secure: true, tls_options: Certificate.tls_options, origins: "http://example.com") do |ws|
      echo(ws)
      ws.onrequest { |handshake, response| response.headers["X-Secure"] = handshake.secure?.to_s }
    end
    client = connect(tls: true)
    client.text("hello")

    expect(fields(client, "X-Secure")).to eq(["true"])
    expect(client.read_text).to eq("hello")
  end

  it "says at the start which options there are not" do
    run_reactor do
      wrong = [{ protocols: "a b" }, { protocols: [:a] }, { origins: 1 }]
      messages = wrong.map do |options|
        EM::WebSocket.run({ host: "127.0.0.1", port: 0 }.merge(options)) {}
      rescue ArgumentError => e
        e.message
      end
      advice = 'give Strings without spaces, such as "chat.v1", or an object that responds to call'
      expect(messages).to eq(["protocols: \"a b\" is no name of a subprotocol: #{advice}",
                              "protocols: :a is no name of a subprotocol: #{advice}",
                              "origins: 1 is no String, Regexp or nil"])
    end.value
  end
end
