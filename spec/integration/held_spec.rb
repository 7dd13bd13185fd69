# frozen_string_literal: true

require "zlib"
require_relative "../support/measured_server"

# The memory that clients can make a server hold: as much as it says, whatever they send. The core's
# own tests go into the corners.
RSpec.describe EventMachine::WebSocket, "and what it holds", :extension do
  mib = 1024 * 1024
  limits = { inbound_limit: mib, inbound_total: 4 * mib }
  rsv1 = 0x40
  offer = { "Sec-WebSocket-Extensions" => "permessage-deflate; client_no_context_takeover" }

  def deflated(bytes)
    Zlib::Deflate.new(9, -15).deflate(bytes, Zlib::SYNC_FLUSH).then { |out| out.byteslice(0...-4) }
  end

  # A server in a process of its own, until the example ends.
  def measure(**options) = (@measured = MeasuredServer.new(**options))

  after { @measured&.stop }

  # Waits until it is true.
  def eventually
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 8
    until yield
      raise "it never is" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep 0.01
    end
  end

  it "holds one message beyond :inbound_total of clients that finish none" do
    served = measure(compression: true, **limits)
    clients = Array.new(10) { connect(port: served.port, headers: offer) }
    frame = clients.first.encode(:text, deflated("a" * 20 * mib), last: false, reserved: rsv1)
    waiting, memory = served.at_most { clients.each { |client| client.write(frame) } }

    expect(waiting).to be_between(15 * mib, 27 * mib)
    expect(memory).to be < 40 * mib
    bystander = connect(port: served.port)
    bystander.text("small")
    bystander.text("x" * 100_000)
    eventually { served.stats[:messages_received] == 2 }
  end

  it "lets one message past :inbound_limit, whatever a read inflates to" do
    served = measure(compression: true, **limits)
    client = connect(port: served.port, headers: offer)
    frame = client.encode(:text, deflated("b" * 10 * mib), reserved: rsv1)
    waiting, = served.while_asleep { served.at_most { client.write(frame * 8) } }

    expect(waiting).to be_between(10 * mib, 12 * mib)
    eventually { served.stats[:messages_received] == 8 }
  end

  it "counts the whole read for a small message that keeps its buffer, or copies it" do
    served = measure(**limits)
    client = connect(port: served.port)
    parts = [client.encode(:text, "", last: false)] +
            ([client.encode(:continuation, "", last: false)] * 9_000) +
            [client.encode(:continuation, ""), client.encode(:text, "t" * 256)]
    reads = parts.join * 1000
    writer = nil
    waiting, memory = served.while_asleep do
      served.at_most { writer = Thread.new { client.write(reads) } }
    end
    writer.join

    expect(waiting).to be <= 5 * mib
    expect(memory).to be < 32 * mib
  end

  it "counts messages of no bytes for what they take" do
    served = measure(inbound_total: mib)
    clients = Array.new(50) { connect(port: served.port) }
    burst = clients.first.encode(:text, "") * 20_000
    writers = []
    waiting, memory = served.while_asleep do
      served.at_most { writers = clients.map { |client| Thread.new { client.write(burst) } } }
    end

    expect(waiting).to be_between(mib, 2 * mib)
    expect(memory).to be < 16 * mib
    writers.each(&:join)
    eventually { served.stats.values_at(:messages_waiting, :bytes_waiting) == [0, 0] }
  end

  it "counts a broadcast once, and for each client whom it waits for" do
    serve
    clients = Array.new(5) { connect }
    all = Array.new(5) { open_connection }
    sockets = clients.map(&:socket)
    waiting, each = server.call do
      10.times { described_class.broadcast(all, "b" * 4 * mib) }
      [described_class.stats[:bytes_outbound], all.map(&:buffered_amount)]
    end

    expect(each).to all(be_between(25 * mib, (40 * mib) + 1000))
    expect(waiting).to be_between(25 * mib, (40 * mib) + 5000)
    sockets.each(&:close)
    eventually { described_class.stats[:bytes_outbound].zero? }
  end
end
