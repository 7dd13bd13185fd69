# frozen_string_literal: true

require "stringio"

# The programs that em-websocket's own README shows, as they stand there. Only where they listen is
# changed, and "..." is filled in.
RSpec.describe EventMachine::WebSocket, "em-websocket's README" do
  # Runs a program in a thread of its own until the example ends, and answers its server's port.
  def run_program(code)
    signatures = Mailbox.new
    allow(described_class).to receive(:trap)
    allow(described_class).to receive(:run).and_wrap_original do |run, options, &accept|
      run.call(options.merge(host: "127.0.0.1", port: 0), &accept)
         .tap { |signature| signatures << Server.port_of(signature) }
    end
    place = binding
    @program = Thread.new { place.eval(code) }
    signatures.pop
  end

  before do
    @stdout = $stdout
    $stdout = StringIO.new
  end

  after do
    stop_program if @program.alive?
  ensure
    $stdout = @stdout
  end

  def stop_program
    EM.next_tick { EM.stop }
    @program.join(8)
  end

  it "shows a simple server" do
    port = run_program(<<~'RUBY')
      EventMachine.run {

          EventMachine::WebSocket.start(:host => "0.0.0.0", :port => 8080) do |ws|
              ws.onopen {
                puts "WebSocket connection open"

                # publish message to the client
                ws.send "Hello Client"
              }

              ws.onclose { puts "Connection closed" }
              ws.onmessage { |msg|
                puts "Recieved message: #{msg}"
                ws.send "Pong: #{msg}"
              }
          end
      }
    RUBY
    client = connect(port: port)
    client.text("ping")

    expect([client.read_text, client.read_text]).to eq(["Hello Client", "Pong: ping"])
    client.close
    client.read(:close)
    expect(client).to be_eof
    stop_program
    expect($stdout.string)
      .to eq("WebSocket connection open\nRecieved message: ping\nConnection closed\n")
  end

  it "shows a secure server" do
    code = <<~'RUBY'
      EventMachine::WebSocket.start({
          :host => "0.0.0.0",
          :port => 443,
          :secure => true,
          :tls_options => {
            :private_key_file => "/private/key",
            :cert_chain_file => "/ssl/certificate"
          }
      }) do |ws|
      ...
      end
    RUBY
    code = code.sub("/private/key", Certificate.key_file)
               .sub("/ssl/certificate", Certificate.chain_file)
               .sub("...", "ws.onmessage { |msg| ws.send msg }")
    client = connect(port: run_program(code), tls: true)
    client.text("secret")

    expect(client.read_text).to eq("secret")
  end

  it "shows a server behind a TLS proxy" do
    code = <<~'RUBY'
      EventMachine::WebSocket.start({
          :host => "0.0.0.0",
          :port => 8080,
          :secure_proxy => true
      }) do |ws|
      ...
      end
    RUBY
    port = run_program(code.sub("...", "ws.onmessage { |msg| ws.send msg }"))
    client = connect(Drafts[76], port: port)

    expect(client.response[:lines]).to include("Sec-WebSocket-Location: wss://127.0.0.1:#{port}/")
  end

  it "shows how to handle errors" do
    code = <<~'RUBY'
      ws.onerror { |error|
        if error.kind_of?(EM::WebSocket::WebSocketError)
          ...
        end
      }
    RUBY
    code = code.sub("...", "note(:error, error)")
    port = run_program(<<~RUBY)
      EM::WebSocket.start(host: "127.0.0.1", port: 0) do |ws|
        #{code}
        ws.onmessage { raise "not one of these" }
      end
    RUBY
    connect(port: port).text("raise")
    connect(port: port).text("\xFF")

    expect(next_event(:error).value.message).to eq("Invalid UTF8 data")
    expect(events).to be_empty
  end
end
