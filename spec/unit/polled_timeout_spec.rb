# frozen_string_literal: true

RSpec.describe "EventMachine::WebSocket::PolledTimeout", :extension do
  let(:timeouts) { EM::WebSocket::PolledTimeout }

  # Looks at a time of 0.4 s, by what the block says; until it is over.
  def over_after(&look)
    run_reactor do
      begun = EM.current_time
      looks = 0
      timeouts.new(0.4, -> { note(:over, [looks, EM.current_time - begun]) }) do
        look.call(looks += 1)
      end
    end
    next_event(:over).value
  end

  it "is over after eight looks that find nothing" do
    looks, seconds = over_after { :nothing }

    expect(looks).to eq(8)
    expect(seconds).to be >= 0.35
  end

  it "begins anew with a look that finds progress, and goes on after one that does not count" do
    expect(over_after { |look| look == 7 ? :progress : :nothing }.first).to eq(15)
    expect(over_after { |look| look == 7 ? :suspended : :nothing }.first).to eq(9)
  end

  it "hears what came while the reactor was busy before its last look counts" do
    reader, writer = IO.pipe
    heard = false
    hear = -> { note(:heard, heard = reader.read_nonblock(9)) }
    run_reactor do
      watched = EM.watch(reader) { |io| io.notify_readable = true }
      watched.define_singleton_method(:notify_readable) { hear.call }
      looks = 0
      timeouts.new(0.4, -> { note(:over) }) do
        looks += 1
        EM.next_tick { writer.write("here") && sleep(0.4) } if looks == 7
        heard ? :progress : :nothing
      end
    end

    expect(next_event.name).to eq(:heard)
  ensure
    release
    [reader, writer].each(&:close)
  end
end
