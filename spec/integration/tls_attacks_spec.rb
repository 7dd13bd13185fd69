# frozen_string_literal: true

require "open3"

RSpec.describe EventMachine::WebSocket, "and clients that attack its TLS" do
  before do
    serve(secure: true, tls_options: Certificate.tls_options)
    @bystander = connect(tls: true)
    next_event(:open)
    @before = connections
  end

  # The bystander has not noticed; and once the attack is over, nothing is left of it.
  after do |example|
    next if example.exception

    @bystander.text("still here")
    expect(@bystander.read_text).to eq("still here")
    deadline = now + 5
    Thread.pass until connections == @before || now > deadline
    expect(connections).to eq(@before)
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  def connections = server.call { EM.connection_count }

  hello = ["16030100c8010000c40303#{"5a" * 32}20#{"a5" * 32}"].pack("H*")
  {
    "plain HTTP" => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a greeting of another protocol" => "EHLO mail.example.com\r\n",
    "zeros" => "\0" * 1000,
    "bytes of every value" => (0..255).to_a.reverse.pack("C*"),
    "half a ClientHello" => hello,
    "records of nothing" => "\x16\x03\x01\x00\x00" * 1000,
    "alerts" => "\x15\x03\x03\x00\x02\x01\x5a" * 1000,
    "nothing" => ""
  }.each do |name, bytes|
    it "lets go of a client that sends #{name} and then no more, and tells nobody" do
      client = dial
      client.write(bytes)
      client.socket.close_write
      client.read_to_end

      expect(event_names).to be_empty
    end
  end

  it "lets go of many that have begun a handshake and hang up" do
    Array.new(100) { dial.tap { |client| client.write(hello) } }.each(&:disconnect)
    # The bystander is one of them.
    101.times { server.connection }

    expect(event_names).to be_empty
  end

  it "tells a bad request through TLS as any other" do
    client = dial(tls: true)
    client.write("\x00\xFFgarbage\r\n\r\n".b)
    client.read_to_end

    expect(event_names).to eq([:error])
  end

  {
    "the end of the stream without close_notify" => ->(socket) { socket.to_io.close_write },
    "close_notify without a close" => ->(socket) { socket.close }
  }.each do |name, finish|
    it "tells #{name} as 1006, and a message that it cuts short not at all" do
      client = connect(tls: true)
      client.text("whole")
      client.read_text
      client.write(client.encode(:text, "cut short")[0..-2])
      finish.call(client.socket)
      names = Array.new(3) { events.pop }

      expect(names.map(&:name)).to eq(%i[open message close])
      expect(names.last.value).to include(code: 1006, was_clean: false)
    end
  end

  it "tells a close as clean, although no close_notify follows" do
    client = connect(tls: true)
    next_event(:open)
    client.close(1000, "done")
    client.socket.to_io.close_write

    expect(next_event(:close).value).to include(code: 1000, reason: "done", was_clean: true)
  end

  it "does not renegotiate", :extension do
    output, = Open3.capture2e(
      "openssl", "s_client", "-tls1_2", "-connect", "127.0.0.1:#{server.port}", stdin_data: "R\n"
    )

    expect(output).to include("RENEGOTIATING").and match(/no renegotiation/)
    expect(event_names).to be_empty
  end
end
