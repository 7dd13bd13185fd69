# frozen_string_literal: true

require_relative "native"
require_relative "signatures"
require_relative "transport"

module EventMachine
  module WebSocket
    # Finds out what an application has made its own of {Connection}'s hooks: in a subclass, a
    # module, the reopened class, or one connection's singleton.
    #
    # It looks anew at each connection: a module may get its methods at any time after it was
    # included, so nothing that was found for one connection holds for the next. Only where no
    # module has come since, and no singleton class stands before it, can nobody override anything.
    #
    # @api private
    module Overrides
      # Hooks whose application gets the raw bytes.
      RAW = %i[dispatch receive_data send_data].freeze
      # Hooks that an application's message or pong goes through.
      TRIGGERS = %i[trigger_on_message trigger_on_binary trigger_on_ping trigger_on_pong].freeze
      # Hooks that are asked before an opening handshake is answered.
      REQUEST = %i[trigger_on_request].freeze
      # Hooks that answer what is no opening handshake.
      PLAIN_HTTP = %i[send_healthcheck_response send_flash_cross_domain_file].freeze
      # Hooks that are told of TLS.
      TLS = %i[ssl_handshake_completed].freeze
      # Hooks that are called through the object anyway.
      OTHERS = %i[debug unbind].freeze
      # Names of the hooks of most applications: none.
      NONE = [].freeze
      private_constant :OTHERS, :NONE

      # Extends {Connection}: notices when it is reopened.
      module Watch
        # A module that comes behind Connection may stand before what it inherits.
        def include(*modules)
          Overrides.changed(false) if equal?(Connection)
          super
        end

        # A module that comes before Connection may stand before any hook.
        def prepend(*modules)
          super.tap { Overrides.changed(true) if equal?(Connection) }
        end

        private

        def method_added(name)
          # Subclasses inherit this; what they define has another owner anyway.
          Overrides.redefined(name) if equal?(Connection)
          super
        end
      end

      class << self
        # Notes the library's own hooks: whatever defines one from now on is the application.
        def seal(klass)
          names = RAW + TRIGGERS + REQUEST + PLAIN_HTTP + TLS + OTHERS
          @class = klass
          @owners = names.to_h { |name| [name, klass.instance_method(name).owner] }
          # Modules that come to Object later, as many libraries' do, stand behind all of these.
          last = @owners.each_value.map { |owner| klass.ancestors.index(owner) }.max
          @ancestors = klass.ancestors[..last]
          @debug = @owners[:debug]
          # The native side finds the class now, before two threads can want it.
          Native.override?(klass.allocate)
          @warned = []
          @ways_out = ways_out(klass) if eventmachines_own?(klass)
          klass.extend(Watch)
        end

        # @param connection [Connection]
        # @return [Array<Symbol>] the names of those that are the application's, of {RAW},
        #   {TRIGGERS}, {REQUEST}, {PLAIN_HTTP} and {TLS}, and others
        def of(connection)
          return NONE if plain?(connection)

          @owners.filter_map do |name, owner|
            name if Transport.method_of(connection, name).owner != owner
          end
        end

        # @return [Boolean] whether {Connection#send_data} is the connection's own
        def sender?(connection)
          Transport.method_of(connection, :send_data).owner.equal?(@owners[:send_data])
        end

        # @return [Boolean] whether nobody stands between {Connection#send_data} and EventMachine
        def sends_directly?
          @ways_out == ways_out(Connection)
        end

        # @param connection [Connection]
        # @return [Method, nil] its own `debug`, if that can be told of an event: an application's
        #   attribute of this name cannot
        def debugger(connection)
          return unless Native.override?(connection)

          method = Transport.method_of(connection, :debug)
          method if method.owner != @debug && (method.arity == 1 || [-1, -2].include?(method.arity))
        end

        # Says that bytes which are read already do not come by a hook any more: whether they do is
        # decided when the accept block returns.
        #
        # @param connection [Connection] in the background, which is being read
        def warn_of_late(connection)
          return unless Native.override?(connection)

          late = of(connection) & (RAW - @warned)
          return if late.empty?

          @warned += late
          warn("em-websocket: #{late.join(", ")} of a connection that is read in the background: " \
               "override it before the accept block returns, or it is not called")
        end

        # Notes that something comes to Connection.
        #
        # @param before [Boolean] whether before its own methods
        def changed(before)
          Native.overridden(before)
        end

        # A method of Connection itself was defined anew: its owner does not tell any more.
        def redefined(name)
          return unless @owners.key?(name)

          @owners[name] = nil
          changed(true)
        end

        private

        # The Methods of all hooks would be most of what a connection allocates.
        def plain?(connection)
          !Native.override?(connection) && @class.ancestors.first(@ancestors.size) == @ancestors
        end

        # Methods that {Connection#send_data} calls, one through the other.
        def ways_out(klass)
          [klass.instance_method(:send_data).super_method, EventMachine.method(:send_data)]
        end

        # Tells if both are EventMachine's: they may have been overridden before this was loaded.
        def eventmachines_own?(klass)
          connection, machine = ways_out(klass)
          theirs = EventMachine::Connection.instance_method(:unbind)
          # This library's own stands before it.
          machine = machine.super_method if machine.owner.equal?(Signatures)
          connection.owner == theirs.owner && machine.source_location.nil? &&
            connection.source_location.first == theirs.source_location.first
        end
      end
    end
  end
end
