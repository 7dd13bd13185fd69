# frozen_string_literal: true

# A queue whose reader does not wait for ever.
class Mailbox
  TIMEOUT = 8

  class Empty < StandardError; end

  def initialize
    @mutex = Mutex.new
    @filled = ConditionVariable.new
    @items = []
  end

  def <<(item)
    @mutex.synchronize do
      @items << item
      @filled.signal
    end
    self
  end

  def pop(timeout = TIMEOUT)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout
    @mutex.synchronize do
      while @items.empty?
        left = deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        raise Empty, "nothing comes any more: #{@end.full_message}" if @end
        raise Empty, "nothing came within #{timeout} s" unless left.positive?

        @filled.wait(@mutex, left)
      end
      @items.shift
    end
  end

  # Ends the waiting: nothing more will come, because of this error.
  def end_with(error)
    @mutex.synchronize do
      @end = error
      @filled.broadcast
    end
  end

  def drain = @mutex.synchronize { @items.slice!(0..) }
  def empty? = @mutex.synchronize { @items.empty? }
  def size = @mutex.synchronize { @items.size }
end

# An EventMachine reactor in a thread of its own; the example drives it from the main thread.
class Reactor
  TIMEOUT = 8

  attr_reader :thread

  # The block runs inside EM.run; what it returns is what `value` is. The mailboxes are told of an
  # exception that ends the reactor.
  def initialize(*mailboxes, &block)
    started = Mailbox.new
    @thread = Thread.new do
      Thread.current.report_on_exception = false
      EM.run { started << attempt(&block) }
    rescue Exception => e # rubocop:disable Lint/RescueException -- and raised again
      [started, *mailboxes].each { |mailbox| mailbox.end_with(e) }
      raise
    end
    @outcome = started.pop
    stop unless @outcome.first == :returned
  end

  def value = unwrap(@outcome)

  # Runs a block on the reactor's thread and returns, or raises, what it does.
  def call(&block)
    done = Mailbox.new
    EM.next_tick { done << attempt(&block) }
    unwrap(done.pop)
  end

  # Stops the reactor and waits for its thread; raises what the reactor raised.
  def stop
    EM.next_tick { EM.stop } if thread.alive? && EM.reactor_running?
    join
  end

  # Waits for a reactor that ends by itself; raises what it raised.
  def join
    @joined = true
    thread.join(TIMEOUT) || abandon
  end

  # Has an example seen to it that the reactor ended?
  def joined? = @joined

  private

  def abandon
    thread.kill
    thread.join(TIMEOUT)
    raise "the reactor did not stop within #{TIMEOUT} s"
  end

  def attempt
    [:returned, yield]
  rescue Exception => e # rubocop:disable Lint/RescueException -- handed to the main thread
    [:raised, e]
  end

  def unwrap((how, what))
    raise what if how == :raised

    what
  end
end

# Call of a callback: its value, and the state of things while it ran.
Event = Struct.new(:name, :value, :state, :thread, :reactor_running, keyword_init: true)

# A WebSocket server in a reactor of its own, on a port that the kernel chose.
class Server
  attr_reader :signature, :port, :reactor, :connections

  # Attached: the connections are EventMachine's own, of this class.
  def initialize(options = {}, attached = nil, events = Mailbox.new, &accept)
    @attached = attached
    @connections = Mailbox.new
    @reactor = Reactor.new(@connections, events) { listen(options, &accept) }
    @signature, @port = reactor.value
  end

  # Starts one more server in the same reactor.
  def also(options = {}, &accept)
    reactor.call { listen(options, &accept) }
  end

  # The next accepted connection, as the accept block saw it.
  def connection = connections.pop

  def call(&block) = reactor.call(&block)
  def stop = reactor.stop
  def thread = reactor.thread

  # nil: it is no server of TCP.
  def self.port_of(signature)
    address = Addrinfo.new(EM.get_sockname(signature))
    address.ip_port if address.ip?
  end

  private

  def listen(options, &accept)
    options = { host: "127.0.0.1", port: 0 }.merge(options)
    signature = open_listener(options) do |ws|
      accept&.call(ws)
      @connections << ws
    end
    [signature, self.class.port_of(signature)]
  end

  def open_listener(options, &accept)
    return EM::WebSocket.run(options, &accept) unless @attached

    EM.start_server(options[:host], options[:port], @attached, options, &accept)
  end
end

# Words of the examples: `serve { |ws| ... }`, `connect(draft)`, `record(ws)`, `next_event(:close)`.
module Serving
  CALLBACKS = %i[open message binary ping pong error close].freeze

  def events = @events ||= Mailbox.new

  # A server that is stopped after the example. Without a block it echoes and records. Examples
  # tagged :attached get one on EventMachine's own sockets.
  def serve(options = {}, &accept)
    accept ||= method(:echo)
    server = Server.new(options, attached_class, events, &accept)
    started(server.reactor)
    @server = server
  end

  def attached_class
    EM::WebSocket::Connection if RSpec.current_example.metadata[:attached]
  end

  attr_reader :server

  # A bare reactor that is stopped after the example.
  def run_reactor(&block) = started(Reactor.new(events, &block))

  # A client whose opening handshake is done, closed after the example.
  def connect(draft = Drafts::RFC, port: server.port, **request)
    socket = %i[tls from path].to_h { |key| [key, request.delete(key)] }
    dial(draft, port: port, **socket).tap { |client| client.open(**request) }
  end

  # A client that has not said anything yet.
  def dial(draft = Drafts::RFC, port: server.port, **options)
    opened(RawClient.new(port, draft, **options))
  end

  # A client whose opening handshake is done, of a program that may be about to listen.
  def reach(port, tls: false, **request)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    begin
      connect(port: port, tls: tls, **request)
    rescue Errno::ECONNREFUSED
      raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep 0.05
      retry
    end
  end

  def record(ws, *names)
    names = CALLBACKS if names.empty?
    names.each { |name| ws.public_send("on#{name}") { |value| note(name, value, ws) } }
  end

  def echo(ws)
    record(ws)
    ws.onmessage { |text| note(:message, text, ws) && ws.send(text) }
    ws.onbinary { |bytes| note(:binary, bytes, ws) && ws.send_binary(bytes) }
  end

  def note(name, value = nil, ws = nil)
    events << Event.new(
      name: name, value: value, state: ws&.state, thread: Thread.current,
      reactor_running: EM.reactor_running?
    )
  end

  # The next event that a block recorded; it must be of this name, if one is given.
  def next_event(name = nil)
    event = events.pop
    return event if name.nil? || event.name == name

    raise "expected #{name}, got #{event.name}: #{event.value.inspect}"
  end

  def event_names = events.drain.map(&:name)

  # True if a hook of the class of all connections is the application's.
  def overridden?
    return false if UPSTREAM

    overrides = EM::WebSocket::Overrides
    hooks = overrides::RAW + overrides::TRIGGERS
    overrides.of(EM::WebSocket::Connection.allocate).intersect?(hooks)
  end

  # The connection's object, once it is open.
  def open_connection = server.connection.tap { next_event(:open) }

  def release
    Array(@clients).each(&:disconnect)
    errors = Array(@reactors).filter_map { |reactor| failure_of(reactor) }
    # What no reactor ran any more must not run in the next example's.
    EM.instance_variable_get(:@next_tick_queue)&.clear unless EM.reactor_running?
    raise errors.first if errors.any?
  end

  private

  def started(reactor) = reactor.tap { (@reactors ||= []) << reactor }
  def opened(client) = client.tap { (@clients ||= []) << client }

  # Exception of a reactor that no example has joined.
  def failure_of(reactor)
    reactor.stop unless reactor.joined?
    nil
  rescue StandardError => e
    e
  end
end
