# frozen_string_literal: true

# Nobody gets in unless it is decided; and where two decide, the first has.
RSpec.describe EventMachine::WebSocket, "where it is decided who gets in", :extension do
  def ask_to_open(client = dial)
    client.tap { client.write(client.request) }
  end

  # The status that a client is answered with, and nil where the connection just ends.
  def status(client)
    response = client.read_response
    response && response[:status][9, 3]
  end

  # The events that the application is told of until the client is gone, and a later one is served.
  def told_until_gone(client)
    client.read_to_end
    server.call { nil }
    event_names
  end

  # Waits until the reactor has done what it has to do by now.
  def turn_round = 3.times { server.call { nil } }

  Transports::ALL.each do |transport, where|
    describe "a connection #{where}" do
      define_method(:serve_here) do |options = {}, **more, &accept|
        serve_by(transport, options.merge(more)) do |ws|
          record(ws)
          accept&.call(ws)
        end
      end

      # A server that defers every answer; and the responses.
      define_method(:serve_deferring) do |**options, &accept|
        Mailbox.new.tap do |responses|
          serve_here(options) do |ws|
            accept&.call(ws)
            ws.onrequest do |_, response|
              response.defer
              responses << response
            end
          end
        end
      end

      # Ways to decide in the block, and the status that the client gets.
      {
        "closes" => [->(ws, _) { ws.close }, nil],
        "ends the connection" => [->(ws, _) { ws.close_connection }, nil],
        "answers by itself" => [
          lambda do |ws, _|
            ws.send_data("HTTP/1.1 402 Payment Required\r\n\r\n")
            ws.close_connection_after_writing
          end, "402"
        ],
        "ends it and accepts" => [->(ws, response) { ws.close_connection && response.accept }, nil],
        "accepts and ends it" => [
          lambda do |ws, response|
            response.accept
            ws.close_connection
          end, nil
        ],
        "refuses and defers" => [
          lambda do |_, response|
            response.refuse(403)
            response.defer
          end, "403"
        ],
        "defers and refuses" => [
          lambda do |_, response|
            response.defer
            response.refuse(403)
          end, "403"
        ],
        "accepts and raises" => [
          lambda do |_, response|
            response.accept
            raise "no"
          end, "500"
        ],
        "defers and raises" => [
          lambda do |_, response|
            response.defer
            raise "no"
          end, "500"
        ]
      }.each do |what, (block, answer)|
        it "is not opened where onrequest #{what}" do
          serve_here { |ws| ws.onrequest { |_, response| block.call(ws, response) } }
          client = ask_to_open

          expect(status(client)).to eq(answer)
          expect(client.read_to_end).not_to include("101 Switching")
          expect(told_until_gone(client) - [:error]).to be_empty
        end
      end

      it "is not opened where onrequest ends what it has deferred" do
        serve_here do |ws|
          ws.onrequest do |_, response|
            response.defer
            EM.next_tick do
              ws.close_connection
              response.accept
            end
          end
        end

        expect(told_until_gone(ask_to_open)).to be_empty
      end

      # Ways to leave the block of which no `onerror` is told.
      {
        "an exception that is no StandardError" => -> { raise NotImplementedError, "no" },
        "the end of its thread" => -> { Thread.current.kill }
      }.each do |what, leave|
        %i[onrequest origins protocols trigger_on_request].each do |asked|
          it "is refused with 500 before #{what} leaves #{asked}" do
            options = case asked
                      when :protocols then { protocols: ->(_) { leave.call } }
                      when :origins then { origins: [leaving(leave)] }
                      else {}
                      end
            serve_here(options) do |ws|
              ws.onrequest { leave.call } if asked == :onrequest
              leave_by(ws, leave) if asked == :trigger_on_request
            end
            client = ask_to_open

            expect([nil, "500"]).to include(status(client))
            begin
              server.reactor.join
            rescue NotImplementedError => e
              expect(e.message).to eq("no")
            end
            expect(event_names).to be_empty
          end
        end
      end

      def leaving(leave)
        Class.new(Regexp) { define_method(:match?) { |*| leave.call } }.new("x")
      end

      def leave_by(ws, leave)
        ws.define_singleton_method(:trigger_on_request) { |_, _| leave.call }
      end

      # Every client can send such, so that it may not end the server.
      {
        "a Regexp of :origins" => [{ origins: [/ü/, "http://other"] }, "403"],
        ":protocols" => [{ protocols: ->(shaken) { shaken.origin =~ /ü/ ? "a" : nil } }, "500"]
      }.each do |what, (options, answer)|
        it "is refused, and the reactor goes on, where #{what} cannot be compared with its bytes" do
          serve_by(transport, options)
          client = dial
          client.write(client.request(headers: { "Origin" => "http://\xFF\xFE" }))

          expect(status(client)).to eq(answer).or eq("101")
          expect(status(ask_to_open)).to match(/403|101/)
        end
      end

      it "is refused, and the reactor goes on, where onrequest cannot compare its bytes" do
        serve_by(transport) do |ws|
          ws.onrequest { |handshake, _| handshake.origin.encode("UTF-16") }
        end
        client = dial
        client.write(client.request(headers: { "Origin" => "http://\xFF\xFE" }))

        expect(status(client)).to eq("500")
        expect(status(ask_to_open)).to eq("101")
      end

      it "has 30 seconds for its handshake where nobody says so, but as EventMachine's none" do
        next if transport == :background

        limits = []
        timeouts = EM::WebSocket::PolledTimeout
        allow(timeouts).to receive(:new).and_wrap_original do |made, *given, &block|
          limits << given.first
          made.call(*given, &block)
        end
        serve_here
        connect
        next_event(:open)

        expect(limits).to eq(transport == :raw ? [30] : [])
      end

      it "is told of its client's reset, and not opened, while the answer is deferred" do
        responses = serve_deferring
        client = ask_to_open
        response = responses.pop
        client.reset
        turn_round
        server.call { response.accept }
        turn_round

        expect(event_names).to be_empty
      end

      it "is not opened for a client that has hung up while the answer is deferred" do
        gone = Mailbox.new
        responses = serve_deferring do |ws|
          ws.define_singleton_method(:unbind) { |*| gone << super() }
        end
        client = ask_to_open
        client.text("early")
        response = responses.pop
        client.disconnect
        gone.pop
        server.call { response.accept }
        turn_round

        expect(event_names).to be_empty
      end

      it "is opened for a client that sends nothing more, where the answer is not deferred" do
        # EventMachine ends such a connection by itself.
        next if transport == :attached

        serve_here { |ws| ws.onrequest { |_, _| nil } }
        client = dial
        client.write(client.request + client.encode(:text, "only this"))
        client.socket.close_write

        expect(status(client)).to eq("101")
        client.read_to_end
        expect(Array.new(3) { next_event.name }).to eq(%i[open message close])
      end

      it "is opened, or its time is up, but not both, where onrequest takes longer than there is" do
        serve_here(handshake_timeout: 0.2) { |ws| ws.onrequest { sleep 0.4 } }
        client = ask_to_open
        answer = status(client)
        server.call { nil }

        expect(answer ? %i[open] : %i[error]).to eq(event_names)
      end

      it "is opened, or its time is up, but not both, where accept comes at that moment" do
        serve_here(handshake_timeout: 0.2) do |ws|
          ws.onrequest do |_, response|
            response.defer
            EM.add_timer(0.1) do
              sleep 0.2
              response.accept
            end
          end
        end
        client = ask_to_open
        answer = status(client)
        server.call { nil }

        expect(answer ? %i[open] : %i[error]).to eq(event_names)
      end

      it "is not opened behind its time, which is told once" do
        responses = serve_deferring(handshake_timeout: 0.1)
        client = ask_to_open

        expect(status(client)).to be_nil
        expect(next_event(:error).value.message).to eq("Opening handshake timed out")
        response = responses.pop
        server.call { [response.accept, response.refuse(403)] }
        turn_round
        expect(event_names).to be_empty
      end

      it "loses nothing that comes while the answer is deferred, however much" do
        got = Mailbox.new
        serve_here do |ws|
          ws.onrequest do |_, response|
            response.defer
            EM.add_timer(0.1) { response.accept }
          end
          ws.onmessage { |message| got << message.bytesize }
        end
        client = ask_to_open
        sizes = [1, 30_000, 50_000, 70_000, 3]
        sizes.each { |size| client.text("x" * size) }
        client.read_response
        client.text("last")

        expect(Array.new(6) { got.pop }).to eq([*sizes, 4])
      end

      it "closes with 3000 and tells onerror where onopen raises behind a deferred answer" do
        serve_here do |ws|
          ws.onrequest do |_, response|
            response.defer
            EM.next_tick { response.accept }
          end
          ws.onopen { raise "in onopen" }
        end
        client = connect

        expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
        expect(next_event(:error).value.message).to eq("in onopen")
      end

      it "stays paused where onrequest has paused it, and read where it has gone on" do
        paused = {}
        opened = Mailbox.new
        serve_here do |ws|
          ws.onrequest do |handshake, response|
            ws.pause unless handshake.path == "/later"
            ws.resume if handshake.path == "/read"
            response.defer
            EM.add_timer(0.2) do
              ws.pause if handshake.path == "/later"
              response.accept
            end
          end
          ws.onopen do |handshake|
            EM.next_tick do
              paused[handshake.path] = ws.paused?
              opened << handshake.path
            end
          end
        end
        much = ->(client) { client.encode(:text, "x" * 70_000) }
        clients = %w[/read /paused /later].to_h { |path| [path, dial] }
        clients.each { |path, client| client.write(client.request(target: path) + much[client]) }
        3.times { opened.pop }

        expect(paused).to eq("/read" => false, "/paused" => true, "/later" => true)
      end

      it "is asked by an onrequest that is set before the client has sent its request" do
        serve_here { |ws| EM.next_tick { ws.onrequest { |_, response| response.refuse(401) } } }
        client = dial
        turn_round

        expect(status(ask_to_open(client))).to eq("401")
      end

      it "ends where onrequest is set when it is open, for nobody was asked" do
        errors = Mailbox.new
        serve_here do |ws|
          ws.onopen do
            EM.next_tick do
              ws.onrequest {}
            rescue EM::WebSocket::WebSocketError => e
              errors << e.message
            end
          end
        end
        client = connect

        expect(errors.pop).to eq("onrequest: the WebSocket is open, nobody was asked: it is ended")
        expect(client.read_to_end).to be_empty
      end

      it "may be given another onrequest when it is open, if one was asked" do
        serve_here do |ws|
          ws.onrequest {}
          ws.onopen { ws.onrequest { |_, response| response.refuse(403) } }
        end
        client = connect
        client.ping("still there?")

        expect(client.read(:pong)).to eq("still there?")
      end
    end
  end

  it "is refused with 500 before a throw leaves it" do
    sent = []
    connection = Class.new(EM::WebSocket::Connection) do
      define_method(:send_data) { |data| sent << data }
      define_method(:close_connection) { |after = false| sent << after }
    end.new(nil, {})
    connection.onrequest { throw :elsewhere, :thrown }
    request = Class.new(RawClient) { def initialize = @draft = Drafts::RFC }.new.request

    expect(catch(:elsewhere) { connection.receive_data(request) }).to eq(:thrown)
    expect(sent).to match([start_with("HTTP/1.1 500 "), true])
  end

  # The client has its answer, and the reactor's thread is busy before it is told.
  describe "where onrequest comes behind the answer in the background" do
    it "opens where the block has nothing against it, which onopen waits for" do
      opened = serve_answered_unasked { |_, _| note(:request) }

      expect(opened).to eq(%i[request open])
    end

    [["refuses", ->(response) { response.refuse(403) }],
     ["raises", ->(_) { raise "no" }],
     ["defers", ->(response) { response.defer }],
     ["adds headers", ->(response) { response.headers["X"] = "y" }],
     ["selects a subprotocol", ->(response) { response.protocol = nil }]].each do |what, act|
      it "ends the connection where it #{what}" do
        told = serve_answered_unasked { |_, response| note(:request) && act.call(response) }

        expect(told - [:error]).to eq(%i[request])
      end
    end

    # The events of a client whose handshake is answered before the block is set.
    def serve_answered_unasked(&block)
      busy, gate = Array.new(2) { Mailbox.new }
      serve do |ws|
        record(ws)
        EM.next_tick do
          busy << true
          gate.pop
          ws.onrequest(&block)
        end
      end
      client = dial
      busy.pop
      ask_to_open(client)
      expect(status(client)).to eq("101")
      gate << :go
      client.disconnect if client.silent?(0.3)
      client.read_to_end unless client.socket.closed?
      turn_round
      event_names - [:close]
    end
  end

  describe "an accept block" do
    before { EM.error_handler { |error| note(:handled, error) } }
    after do
      release
      EM.error_handler(nil)
    end

    %i[background attached].each do |transport|
      it "that raises lets nobody in (#{transport})" do
        serve_by(transport) { |_| raise "the database is away" }
        client = ask_to_open

        expect(client.read_to_end).to be_empty
        expect(next_event(:handled).value.message).to eq("the database is away")
        server.call { nil }
        expect(events).to be_empty
      end
    end

    %i[initialize post_init].each do |method|
      it "is not come to where #{method} of a subclass raises, and nobody is let in" do
        raising = Class.new(EM::WebSocket::Connection) do
          define_method(method) do |*given|
            super(*given)
            raise "not today"
          end
        end
        serve_by(:attached, {}, raising) { note(:accepted) }
        client = ask_to_open

        expect(client.read_to_end).to be_empty
        expect(next_event(:handled).value.message).to eq("not today")
        server.call { nil }
        expect(events).to be_empty
      end
    end
  end

  { "raises what is no StandardError" => -> { raise NotImplementedError, "no" },
    "throws" => -> { throw :elsewhere } }.each do |what, leave|
    %i[background attached].each do |transport|
      it "lets nobody in where the accept block #{what} (#{transport})" do
        serve_by(transport) { |_| leave.call }
        client = ask_to_open

        # With EventMachine's own sockets, nobody closes them when the reactor ends so.
        expect(transport == :attached ? client.silent?(0.3) : client.read_to_end.empty?).to be(true)
        expect { server.reactor.join }.to raise_error(Exception)
      end
    end
  end
end
