# frozen_string_literal: true

module EventMachine
  module WebSocket
    # Finds out what an application has made its own of {Connection}'s hooks: in a subclass, a
    # module, the reopened class, or one connection's singleton.
    #
    # It looks anew at each connection: a module may get its methods at any time after it was
    # included, so nothing that was found for one connection holds for the next.
    #
    # @api private
    module Overrides
      # Who overrides one of these gets the raw bytes.
      RAW = %i[dispatch receive_data send_data].freeze
      # Who overrides one of these is called through it.
      TRIGGERS = %i[trigger_on_message trigger_on_binary trigger_on_ping trigger_on_pong].freeze
      # Who overrides one of these is asked before an opening handshake is answered.
      REQUEST = %i[trigger_on_request].freeze
      # Who overrides one of these is told of TLS.
      TLS = %i[ssl_handshake_completed].freeze

      # Extends {Connection}: notices when it is reopened.
      module Watch
        private

        def method_added(name)
          # Subclasses inherit this; what they define has another owner anyway.
          Overrides.redefined(name) if equal?(Connection)
          super
        end
      end

      class << self
        # From now on, whatever defines a hook is the application.
        def seal(klass)
          names = RAW + TRIGGERS + REQUEST + TLS
          @owners = names.to_h { |name| [name, klass.instance_method(name).owner] }
          klass.extend(Watch)
        end

        # @param connection [Connection]
        # @param names [Array<Symbol>] {RAW}, {TRIGGERS}, {REQUEST} or {TLS}
        # @return [Boolean] whether one of them is the application's
        def any?(connection, names)
          names.any? { |name| connection.method(name).owner != @owners[name] }
        end

        # A method of Connection itself was defined anew: its owner does not tell any more.
        def redefined(name)
          @owners[name] = nil if @owners.key?(name)
        end
      end
    end
  end
end
