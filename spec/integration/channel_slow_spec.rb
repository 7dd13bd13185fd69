# frozen_string_literal: true

# Messages for subscribers that do not read, however their bytes come.
RSpec.describe EventMachine::WebSocket, "channels, for slow subscribers", :extension do
  let(:name) { "slow:#{object_id}:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}" }
  let(:padding) { "x" * 100_000 }

  # Messages enough to fill a socket's buffers several times over.
  last = 300

  # A server whose connections are subscribed; the client that reads, and the one that does not yet.
  def start(transport, options = {})
    channel = name
    @connections = []
    serve_by(transport, options) do |ws|
      record(ws, :close)
      ws.onopen do
        ws.subscribe(channel)
        @connections << ws
        note(:open)
      end
      ws.onmessage { |text| ws.send(text) }
    end
    Array.new(2) { connect.tap { next_event(:open) } }
  end

  def rule(name, **how)
    described_class.channels { slow(name, **how) }
  end

  def publish(number)
    server.call { described_class.publish(name, "#{number} #{padding}") }
  end

  # Publishes to one client that reads each and one that does not: the most that waited for that.
  def flood(numbers, reader)
    numbers.map do |number|
      publish(number)
      expect(number_of(reader)).to eq(number)
      server.call { @connections.last.get_outbound_data_size }
    end.max
  end

  def dropped
    # Public statistics are the background's servers'.
    described_class.const_get(:Native).channel_stats[:messages_dropped]
  end

  def number_of(client) = client.read_text.to_i

  # The numbers of all that a client gets, up to one.
  def numbers_up_to(client, last)
    seen = [number_of(client)]
    seen << number_of(client) until seen.last == last
    seen
  end

  Transports::ALL.each do |transport, how|
    { { keep: :last } => 1, { keep: :drop, size: 5 } => 5 }.each do |kept, size|
      it "has #{kept} wait for a connection #{how}, and drops and counts what is older" do
        rule(name, **kept)
        reader, slow = start(transport)
        before = dropped

        expect(flood(1..last, reader)).to be < 1_000_000
        seen = numbers_up_to(slow, last)
        expect(seen).to eq(seen.sort.uniq).and have_attributes(size: be < last - 50)
        expect(seen.last(size)).to eq([*(last - size + 1)..last])
        expect(dropped - before).to eq(last - seen.size)
        # It is as any other again.
        flood(last + 1..last + 3, reader)
        expect(Array.new(3) { number_of(slow) }).to eq([*last + 1..last + 3])
      end
    end

    it "ends a connection #{how} past the :outbound_limit where there is no rule" do
      reader, = start(transport, outbound_limit: 1 << 20)
      most = flood(1..last, reader)

      expect(most).to be <= 1 << 20
      expect(next_event(:close).value).to include(code: 1006)
      expect(server.call { described_class.publish(name, "x") }).to eq(1)
    end

    it "sends a slow connection #{how} all of a channel that has no rule" do
      rule(name, keep: :last)
      reader, slow = start(transport)
      flood(1..last, reader)
      other = "#{name}:all"
      server.call { @connections.last.subscribe(other) }
      server.call { 10.times { |n| described_class.publish(other, "#{1_000 + n} of others") } }

      seen = []
      seen << number_of(slow) until (seen & [last, 1_009]).size == 2
      expect(seen.select { |n| n >= 1_000 }).to eq([*1_000..1_009])
    end

    it "sends a slow connection #{how} in order what it waits for where its rule is taken back" do
      rule(name, keep: :drop, size: 10)
      reader, slow = start(transport)
      flood(1..last, reader)
      rule(name, keep: :close)
      flood(last + 1..last + 10, reader)

      seen = numbers_up_to(slow, last + 10)
      expect(seen).to eq(seen.sort.uniq)
      expect(seen.last(10)).to eq([*last + 1..last + 10])
    end
  end
end
