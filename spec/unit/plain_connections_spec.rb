# frozen_string_literal: true

require "open3"

# Connections of which the application has made nothing its own, where libraries give Object modules
# after this one is loaded, as json does: looking at every hook of theirs would be most of the
# garbage that a connection makes.
RSpec.describe EventMachine::WebSocket::Connection, "that is as it is", :extension do
  def hooks_found(program)
    library = File.expand_path("../../lib", __dir__)
    out, status = Open3.capture2e(RbConfig.ruby, "-I", library, "-e", <<~RUBY)
      require "em-websocket"
      #{program}
      overrides = EM::WebSocket::Overrides
      connection = EM::WebSocket::Connection.new(nil, {})
      found = nil
      overrides.of(connection)
      before = GC.stat[:total_allocated_objects]
      found = overrides.of(connection)
      puts GC.stat[:total_allocated_objects] - before, found.inspect
    RUBY
    expect(status).to be_success, out
    count, found = out.lines(chomp: true)
    [Integer(count), found]
  end

  it "looks up no hook of a connection where a module has come to Object only" do
    count, found = hooks_found("Object.include(Module.new { def to_something = self })")

    expect(found).to eq("[]")
    expect(count).to be < 10
  end

  {
    "before Connection" =>
      "EM::WebSocket::Connection.prepend(Module.new { def dispatch(*) = super })",
    "before EventMachine's" =>
      "EM::Connection.prepend(Module.new { def ssl_handshake_completed = super })"
  }.each do |where, program|
    it "looks up every hook of a connection once a module has come #{where}" do
      count, found = hooks_found(program)

      expect(found).not_to eq("[]")
      expect(count).to be > 20
    end
  end
end
