# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "and its limits of size" do
  # The module's limits, while the example runs.
  def limit(**limits)
    @before ||= limits.to_h { |name, _| [name, described_class.public_send(name)] }
    limits.each { |name, size| described_class.public_send(:"#{name}=", size) }
  end

  after { @before&.each { |name, size| described_class.public_send(:"#{name}=", size) } }

  def fragments(*sizes, port: server.port)
    connect(port: port).tap { |client| client.fragments(:text, sizes.map { |size| "x" * size }) }
  end

  def expect_refusal(client)
    expect(client.read(:close)).to start_with([1009].pack("n"))
    expect(client).to be_eof
    next_event(:open)
    expect(next_event(:error).value).to be_instance_of(EM::WebSocket::WSMessageTooBigError)
    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
  end

  [{}, { attached: true }].each do |where|
    describe(where.empty? ? "in the background" : "on EventMachine's own socket", **where) do
      describe ":outbound_limit", upstream: "0.5.1 has none" do
        it "ends the connection of a client that does not read" do
          serve(outbound_limit: 1_000_000)
          client = connect
          ws = open_connection
          server.call { 60.times { ws.send_binary("\0".b * 900_000) } }

          expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
          expect(client.read_to_end.bytesize).to be < 54_000_000
          expect(events).to be_empty
        end

        it "ends the connection at a single message beyond it" do
          serve(outbound_limit: 1_000)
          client = connect
          ws = open_connection
          server.call { ws.send("x" * 2_000) }

          expect(client).to be_eof
          expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
        end

        { "lets pass what stays within it" => [10_000_000, 9],
          "is none where it is 0" => [0, 20] }.each do |name, (limit, count)|
          it name do
            serve(outbound_limit: limit)
            client = connect
            ws = open_connection
            server.call { count.times { ws.send_binary("\0".b * 1_000_000) } }

            expect(Array.new(count) { client.read(:binary).bytesize }).to eq([1_000_000] * count)
          end
        end
      end

      describe "max_message_size", :extension do
        it "is an option" do
          serve(max_message_size: 100)
          fitting = fragments(60, 40)
          expect(fitting.read_text).to eq("x" * 100)
          expect(open_connection.max_message_size).to eq(100)
          next_event(:message)

          expect_refusal(fragments(60, 41))
        end

        it "is the module's where there is no other" do
          limit(max_frame_size: 60, max_message_size: 100)
          serve
          expect(fragments(50, 50).read_text).to eq("x" * 100)
          2.times { next_event }

          expect_refusal(fragments(50, 50, 1))
        end

        it "is lifted by a larger max_frame_size" do
          limit(max_frame_size: 60, max_message_size: 100)
          serve do |ws|
            echo(ws)
            ws.max_frame_size = 200
          end
          expect(fragments(190).read_text).to eq("x" * 190)
          expect(server.connection.max_message_size).to eq(200)
          2.times { next_event }

          expect_refusal(fragments(150, 51))
        end

        it "is lifted by a larger max_frame_size of the module" do
          limit(max_frame_size: 200, max_message_size: 100)
          serve

          expect(fragments(100, 100).read_text).to eq("x" * 200)
        end

        it "is not lifted where the connection has its own" do
          limit(max_frame_size: 200, max_message_size: 300)
          serve do |ws|
            echo(ws)
            ws.max_message_size = 100
          end

          expect_refusal(fragments(100, 1))
        end
      end

      %i[ping pong].each do |name|
        it "refuses a #{name} of more than 125 bytes, and goes on", :fixed do
          serve
          client = connect
          ws = open_connection

          expect { server.call { ws.public_send(name, "x" * 126) } }
            .to raise_error(EM::WebSocket::WebSocketError, /125/)
          expect(server.call { [ws.public_send(name, "x" * 125), ws.state] })
            .to eq([true, :connected])
          expect(client.read(name)).to eq("x" * 125)
        end
      end
    end
  end
end
